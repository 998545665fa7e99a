"""Automatic guides for NumPyro models."""

from ppl_ext.numpyro.guides.composite import CompositeGuide
from ppl_ext.numpyro.guides.flow import AutoFlow
from ppl_ext.numpyro.guides.full_rank import AutoFullRank
from ppl_ext.numpyro.guides.mean_field import AutoMeanField

__all__ = ["AutoFlow", "AutoFullRank", "AutoMeanField", "CompositeGuide"]
