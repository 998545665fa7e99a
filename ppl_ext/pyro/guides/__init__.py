"""Guides for the host's SVI, Predictive and AutoGuideList, and for ``fit``."""

from ppl_ext.pyro.guides.composite import CompositeGuide
from ppl_ext.pyro.guides.flow import AutoFlow
from ppl_ext.pyro.guides.full_rank import AutoFullRank
from ppl_ext.pyro.guides.mean_field import AutoMeanField

__all__ = ["AutoFlow", "AutoFullRank", "AutoMeanField", "CompositeGuide"]
