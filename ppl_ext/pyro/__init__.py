"""Everything for a Pyro user: guides, the evidence lower bound, fit, and the way to ArviZ."""

from ppl_ext.pyro.density import trace_density

__all__ = ["trace_density"]
