"""Matrix factorization as model and guide, and its coordinate ascent as an ``SVI``."""

from ppl_ext.pyro.factorization.ascent import CAVI, CAVIRunResult
from ppl_ext.pyro.factorization.guide import FactorGuide
from ppl_ext.pyro.factorization.model import FactorModel

__all__ = ["CAVI", "CAVIRunResult", "FactorGuide", "FactorModel"]


def __dir__() -> list[str]:
    return __all__
