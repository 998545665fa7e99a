"""Variational inference for NumPyro models."""

from ppl_ext.numpyro.autoguide import AutoFullRank, AutoMeanField
from ppl_ext.numpyro.density import trace_density
from ppl_ext.numpyro.elbo import StickTheLanding

__all__ = ["AutoFullRank", "AutoMeanField", "StickTheLanding", "trace_density"]
