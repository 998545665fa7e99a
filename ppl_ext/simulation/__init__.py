"""Running simulators, on one core or many, and keeping their pairs of latent and observed."""

from ppl_ext.simulation.black_box import BlackBox, make_row_generator
from ppl_ext.simulation.reading import open_simulations
from ppl_ext.simulation.run import run_simulations
from ppl_ext.simulation.simulations import Simulations, find_constant

__all__ = [
    "BlackBox",
    "Simulations",
    "find_constant",
    "make_row_generator",
    "open_simulations",
    "run_simulations",
]
