"""The children's scores, their mothers' schooling and IQ, and the published posterior.

The numbers and their sources are in ``ppl_ext.commands.demo.problem``, which travels with the
package so that ``python -m ppl_ext demo`` has them.
"""

from ppl_ext.commands.demo.problem import KIDSCORE

__all__ = ["KID_SCORE", "MOM_HS", "MOM_IQ", "REFERENCE", "TERMS"]

MOM_HS, MOM_IQ, KID_SCORE = KIDSCORE.data
REFERENCE, TERMS = KIDSCORE.reference, KIDSCORE.labels["beta"]
