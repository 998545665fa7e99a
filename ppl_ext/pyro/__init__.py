"""Everything for a Pyro user: guides, the evidence lower bound, fit, and the way to ArviZ."""

from typing import TYPE_CHECKING

from ppl_ext.lazy_names import load_when_used

if TYPE_CHECKING:
    from ppl_ext.correction.settings import Correction
    from ppl_ext.fitting.settings import Deterministic, Stochastic
    from ppl_ext.pyro import distributions as distributions
    from ppl_ext.pyro import estimators as estimators
    from ppl_ext.pyro import factorization as factorization
    from ppl_ext.pyro import flows as flows
    from ppl_ext.pyro import npe as npe
    from ppl_ext.pyro.amortized import AutoAmortized
    from ppl_ext.pyro.arviz_data import from_mcmc, from_svi
    from ppl_ext.pyro.calibration.entry import calibrate
    from ppl_ext.pyro.fitting.entry import fit
    from ppl_ext.pyro.fitting.result import Fit
    from ppl_ext.pyro.fitting.saving import load
    from ppl_ext.pyro.guides import AutoFlow, AutoFullRank, AutoMeanField, CompositeGuide
    from ppl_ext.pyro.npe.entry import NPE
    from ppl_ext.pyro.objectives.discrete.elbo import DiscreteELBO
    from ppl_ext.pyro.objectives.mismatch import RelaxedDensityWarning, check_densities
    from ppl_ext.pyro.objectives.stick_the_landing import StickTheLanding
    from ppl_ext.pyro.tracing.density import trace_density
    from ppl_ext.pyro.training.entry import fit_minibatches
    from ppl_ext.pyro.training.result import MinibatchFit
    from ppl_ext.training import Minibatches, MinibatchSettings

__all__ = [
    "NPE",
    "AutoAmortized",
    "AutoFlow",
    "AutoFullRank",
    "AutoMeanField",
    "CompositeGuide",
    "Correction",
    "Deterministic",
    "DiscreteELBO",
    "Fit",
    "MinibatchFit",
    "MinibatchSettings",
    "Minibatches",
    "RelaxedDensityWarning",
    "StickTheLanding",
    "Stochastic",
    "calibrate",
    "check_densities",
    "fit",
    "fit_minibatches",
    "from_mcmc",
    "from_svi",
    "load",
    "trace_density",
]

# A name costs its import when it is first used.
__getattr__, __dir__ = load_when_used(globals())
