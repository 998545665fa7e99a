"""Everything for a Pyro user: guides, the evidence lower bound, fit, and the way to ArviZ."""

from ppl_ext.gaussian_vi import SampleAverage
from ppl_ext.pyro import distributions as distributions
from ppl_ext.pyro import estimators as estimators
from ppl_ext.pyro import factorization as factorization
from ppl_ext.pyro.autoguide import AutoFullRank, AutoMeanField
from ppl_ext.pyro.density import trace_density
from ppl_ext.pyro.density_mismatch import RelaxedDensityWarning, check_densities
from ppl_ext.pyro.discrete_elbo import DiscreteELBO
from ppl_ext.pyro.elbo import StickTheLanding
from ppl_ext.pyro.export import from_mcmc, from_svi
from ppl_ext.pyro.fitted import Fit
from ppl_ext.pyro.saving import load
from ppl_ext.pyro.stochastic import Stochastic
from ppl_ext.pyro.svi import fit

__all__ = [
    "AutoFullRank",
    "AutoMeanField",
    "DiscreteELBO",
    "Fit",
    "RelaxedDensityWarning",
    "SampleAverage",
    "StickTheLanding",
    "Stochastic",
    "check_densities",
    "fit",
    "from_mcmc",
    "from_svi",
    "load",
    "trace_density",
]
