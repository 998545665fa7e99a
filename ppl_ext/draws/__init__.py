"""Draws with both of their densities, what can be made of them, and their way to ArviZ."""

from ppl_ext.draws.datatree import build_tree
from ppl_ext.draws.draws import Draws
from ppl_ext.draws.loo import estimate_loo
from ppl_ext.draws.psis import SmoothedWeights, smooth_weights

__all__ = ["Draws", "SmoothedWeights", "build_tree", "estimate_loo", "smooth_weights"]
