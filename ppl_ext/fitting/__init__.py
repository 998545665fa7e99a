"""The loop of an optimiser: its settings, its steps, its end, and the log that it leaves."""

from ppl_ext.fitting.fit_log import INTERRUPTED, FitLog
from ppl_ext.fitting.loop import NonFiniteLossError, drive, open_bar
from ppl_ext.fitting.settings import Deterministic, Stochastic
from ppl_ext.fitting.stopping import Plateau

__all__ = [
    "INTERRUPTED",
    "Deterministic",
    "FitLog",
    "NonFiniteLossError",
    "Plateau",
    "Stochastic",
    "drive",
    "open_bar",
]
