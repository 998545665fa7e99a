"""Normalizing flows, with a context or without, as modules that give distributions."""

from ppl_ext.pyro.flows.autoregressive import AutoregressiveFlow
from ppl_ext.pyro.flows.coupling import CouplingFlow
from ppl_ext.pyro.flows.distribution import FlowDistribution

__all__ = ["AutoregressiveFlow", "CouplingFlow", "FlowDistribution"]


def __dir__() -> list[str]:
    return __all__
