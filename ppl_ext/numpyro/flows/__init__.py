"""Normalizing flows, with a context or without, as functions of parameters that JAX can see."""

from ppl_ext.numpyro.flows.autoregressive import AutoregressiveFlow
from ppl_ext.numpyro.flows.coupling import CouplingFlow
from ppl_ext.numpyro.flows.distribution import FlowDistribution

__all__ = ["AutoregressiveFlow", "CouplingFlow", "FlowDistribution"]


def __dir__() -> list[str]:
    return __all__
