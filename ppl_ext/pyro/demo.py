"""The demonstration on Pyro: three models, `fit`, two guides, and NUTS beside them."""

import math
import time
import warnings
from collections.abc import Callable
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro.infer import MCMC, NUTS

from ppl_ext.commands.demo.problem import Entry, Problem
from ppl_ext.pyro.arviz_data import from_mcmc
from ppl_ext.pyro.fitting.entry import fit
from ppl_ext.pyro.guides import AutoFullRank, AutoMeanField

__all__ = ["METHODS", "eight_schools", "kidscore", "pitcher"]

_NUTS_WARMUP, _NUTS_DRAWS = 300, 1500


def eight_schools(standard_error, effect=None):
    """A hierarchy of school effects as it is usually written: a funnel."""
    mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = pyro.sample("tau", dist.HalfCauchy(5.0))
    with pyro.plate("school", len(standard_error)):
        theta = pyro.sample("theta", dist.Normal(mu, tau))
        pyro.sample("effect", dist.Normal(theta, standard_error), obs=effect)


def kidscore(mom_hs, mom_iq, kid_score=None):
    """A regression with an interaction; flat prior on the coefficients."""
    with pyro.plate("term", 4):
        beta = pyro.sample("beta", dist.Normal(0.0, 1.0).mask(False))
    sigma = pyro.sample("sigma", dist.HalfCauchy(2.5))
    mean = beta[0] + beta[1] * mom_hs + beta[2] * mom_iq + beta[3] * mom_hs * mom_iq
    with pyro.plate("child", len(mom_iq)):
        pyro.sample("kid_score", dist.Normal(mean, sigma), obs=kid_score)


def pitcher(landed=None):
    """Speed and angle of a throw from 1.5 m, and where it was seen to land."""
    speed = pyro.sample("speed", dist.Uniform(0.0, 10.0))
    angle = pyro.sample("angle", dist.Uniform(0.0, math.pi / 2))
    rise = speed * torch.sin(angle)
    flight = (rise + torch.sqrt(rise**2 + 2 * 9.81 * 1.5)) / 9.81
    with pyro.plate("throw", 1 if landed is None else len(landed)):
        pyro.sample("landed", dist.Normal(speed * torch.cos(angle) * flight, 0.5), obs=landed)


def climb(problem: Problem) -> Entry:
    """Call `fit` as it is meant: it goes on from the Gaussian until its draws are good."""
    return _fit("fit", problem)


def fit_mean_field(problem: Problem) -> Entry:
    """Fit a mean-field guide and judge it."""
    return _fit("mean field", problem, guide=AutoMeanField)


def fit_full_rank(problem: Problem) -> Entry:
    """Fit a full-rank guide and judge it."""
    return _fit("full rank", problem, guide=AutoFullRank)


class CountingNUTS(NUTS):
    """Pyro's NUTS, counting the gradients that it asks for."""

    gradients = 0

    def setup(self, warmup_steps, *args, **kwargs):
        """Put a counter before the potential energy."""
        super().setup(warmup_steps, *args, **kwargs)
        potential = self.potential_fn

        def count(z):
            self.gradients += 1
            return potential(z)

        self.potential_fn = count


def sample_nuts(problem: Problem) -> Entry:
    """Run NUTS with a dense mass matrix, as a careful user of the host would."""
    model, data = _prepare(problem)
    # Before the mass matrix is learnt the trees of a regression would have a thousand leaves.
    kernel = CountingNUTS(
        model, full_mass=True, max_tree_depth=7, jit_compile=True, ignore_jit_warnings=True
    )
    mcmc = MCMC(kernel, _NUTS_DRAWS, warmup_steps=_NUTS_WARMUP, disable_progbar=True)
    pyro.set_rng_seed(0)
    started = time.perf_counter()
    with warnings.catch_warnings():
        # Pyro's jit_compile rests on torch.jit.trace, which torch has announced to remove.
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
        mcmc.run(*data)
    seconds = time.perf_counter() - started
    posterior = from_mcmc(mcmc)["posterior"]
    values = {
        str(site): draws.to_numpy().reshape(-1, *draws.shape[2:])
        for site, draws in posterior.data_vars.items()
    }
    return Entry("NUTS", values, seconds, kernel.gradients)


METHODS = {
    "fit": climb,
    "mean field": fit_mean_field,
    "full rank": fit_full_rank,
    "NUTS": sample_nuts,
}


def _fit(method: str, problem: Problem, guide: Any = None) -> Entry:
    model, data = _prepare(problem)
    started = time.perf_counter()
    fitted = fit(model, *data, guide=guide, progress_bar=False)
    report = fitted.report()
    draws = fitted.draws(seed=0)
    seconds = time.perf_counter() - started
    gradients = sum(step.gradients for step in report.steps) or fitted.log.gradients
    return Entry(method, draws.values, seconds, gradients, report)


def _prepare(problem: Problem) -> tuple[Callable[..., None], list[torch.Tensor]]:
    models = {"eight_schools": eight_schools, "kidscore": kidscore, "pitcher": pitcher}
    return models[problem.name], [torch.tensor(column).float() for column in problem.data]
