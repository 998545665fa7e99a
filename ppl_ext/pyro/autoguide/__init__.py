"""Guides for the host's SVI, Predictive and AutoGuideList, and for ``fit``."""

from ppl_ext.pyro.autoguide.full_rank import AutoFullRank
from ppl_ext.pyro.autoguide.mean_field import AutoMeanField

__all__ = ["AutoFullRank", "AutoMeanField"]
