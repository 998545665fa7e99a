"""Matrix factorization as model and guide, and its coordinate ascent as an ``SVI``."""

from ppl_ext.numpyro.factorization.ascent import CAVI, CAVIRunResult
from ppl_ext.numpyro.factorization.devices import fit_on_devices
from ppl_ext.numpyro.factorization.guide import FactorGuide
from ppl_ext.numpyro.factorization.model import FactorModel

__all__ = ["CAVI", "CAVIRunResult", "FactorGuide", "FactorModel", "fit_on_devices"]


def __dir__() -> list[str]:
    return __all__
