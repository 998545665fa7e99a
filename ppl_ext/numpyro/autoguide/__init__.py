"""Automatic guides for NumPyro models."""

from ppl_ext.numpyro.autoguide.full_rank import AutoFullRank
from ppl_ext.numpyro.autoguide.mean_field import AutoMeanField

__all__ = ["AutoFullRank", "AutoMeanField"]
