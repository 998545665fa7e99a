"""Everything for a NumPyro user: guides, the evidence lower bound, fit, and the way to ArviZ."""

from ppl_ext.gaussian_vi import SampleAverage
from ppl_ext.numpyro import distributions as distributions
from ppl_ext.numpyro import estimators as estimators
from ppl_ext.numpyro import factorization as factorization
from ppl_ext.numpyro.autoguide import AutoFullRank, AutoMeanField
from ppl_ext.numpyro.density import trace_density
from ppl_ext.numpyro.density_mismatch import RelaxedDensityWarning, check_densities
from ppl_ext.numpyro.discrete_elbo import DiscreteELBO
from ppl_ext.numpyro.elbo import StickTheLanding
from ppl_ext.numpyro.export import from_mcmc, from_svi
from ppl_ext.numpyro.fitted import Fit
from ppl_ext.numpyro.saving import load
from ppl_ext.numpyro.stochastic import Stochastic
from ppl_ext.numpyro.svi import fit

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
