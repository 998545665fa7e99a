"""Guides that read the posterior of a row from the data of the row."""

from ppl_ext.pyro.amortized.guide import AutoAmortized

__all__ = ["AutoAmortized"]
