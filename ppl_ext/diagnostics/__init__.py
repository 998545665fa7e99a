"""Can this answer be trusted? Diagnostics on draws, and the verdict on a fit."""

from ppl_ext.diagnostics.psis import SmoothedWeights, smooth_weights

__all__ = ["SmoothedWeights", "smooth_weights"]
