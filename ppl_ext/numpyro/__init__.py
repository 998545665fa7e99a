"""Variational inference for NumPyro models."""

from ppl_ext.numpyro.density import trace_density

__all__ = ["trace_density"]
