"""The eight schools' estimates, their standard errors and the published posterior.

The numbers and their sources are in ``ppl_ext.commands.demo.problem``, which travels with
the package so that ``python -m ppl_ext demo`` has them.
"""

from ppl_ext.commands.demo.problem import EIGHT_SCHOOLS

__all__ = ["EFFECT", "REFERENCE", "SCHOOLS", "STANDARD_ERROR"]

STANDARD_ERROR, EFFECT = EIGHT_SCHOOLS.data
REFERENCE, SCHOOLS = EIGHT_SCHOOLS.reference, EIGHT_SCHOOLS.labels["theta"]
