"""What a fit shows of itself: in a line, in a notebook, and on a page of one file."""

from ppl_ext.fit_page.abstract_fit import AbstractFit

__all__ = ["AbstractFit"]
