"""The eight schools' estimates, their standard errors and the published posterior.

The numbers and their sources are in ``ppl_ext.commands.demo.eight_schools``, which travels with
the package so that ``python -m ppl_ext demo`` has them.
"""

from ppl_ext.commands.demo.eight_schools import EFFECT, REFERENCE, SCHOOLS, STANDARD_ERROR

__all__ = ["EFFECT", "REFERENCE", "SCHOOLS", "STANDARD_ERROR"]
