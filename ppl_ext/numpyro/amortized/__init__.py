"""Guides that read the posterior of a row from the data of the row."""

from ppl_ext.numpyro.amortized.guide import AutoAmortized

__all__ = ["AutoAmortized"]
