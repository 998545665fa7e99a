"""The demonstration on NumPyro: three models, `fit`, two guides, and NUTS beside them."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.infer import NUTS

from ppl_ext.commands.demo.problem import Entry, Problem
from ppl_ext.numpyro.fitting.entry import fit
from ppl_ext.numpyro.guides import AutoFullRank, AutoMeanField

__all__ = ["METHODS", "eight_schools", "kidscore", "pitcher"]

_NUTS_WARMUP, _NUTS_DRAWS = 1000, 2000


def eight_schools(standard_error, effect=None):
    """A hierarchy of school effects as it is usually written: a funnel."""
    mu = numpyro.sample("mu", dist.Normal(0, 5))
    tau = numpyro.sample("tau", dist.HalfCauchy(5))
    with numpyro.plate("school", len(standard_error)):
        theta = numpyro.sample("theta", dist.Normal(mu, tau))
        numpyro.sample("effect", dist.Normal(theta, standard_error), obs=effect)


def kidscore(mom_hs, mom_iq, kid_score=None):
    """A regression with an interaction; flat prior on the coefficients."""
    with numpyro.plate("term", 4):
        beta = numpyro.sample("beta", dist.ImproperUniform(constraints.real, (), ()))
    sigma = numpyro.sample("sigma", dist.HalfCauchy(2.5))
    mean = beta[0] + beta[1] * mom_hs + beta[2] * mom_iq + beta[3] * mom_hs * mom_iq
    with numpyro.plate("child", len(mom_iq)):
        numpyro.sample("kid_score", dist.Normal(mean, sigma), obs=kid_score)


def pitcher(landed=None):
    """Speed and angle of a throw from 1.5 m, and where it was seen to land."""
    speed = numpyro.sample("speed", dist.Uniform(0, 10))
    angle = numpyro.sample("angle", dist.Uniform(0, jnp.pi / 2))
    rise = speed * jnp.sin(angle)
    flight = (rise + jnp.sqrt(rise**2 + 2 * 9.81 * 1.5)) / 9.81
    with numpyro.plate("throw", 1 if landed is None else len(landed)):
        numpyro.sample("landed", dist.Normal(speed * jnp.cos(angle) * flight, 0.5), obs=landed)


def climb(problem: Problem) -> Entry:
    """Call `fit` as it is meant: it goes on from the Gaussian until its draws are good."""
    return _fit("fit", problem)


def fit_mean_field(problem: Problem) -> Entry:
    """Fit a mean-field guide and judge it."""
    return _fit("mean field", problem, guide=AutoMeanField)


def fit_full_rank(problem: Problem) -> Entry:
    """Fit a full-rank guide and judge it."""
    return _fit("full rank", problem, guide=AutoFullRank)


def sample_nuts(problem: Problem) -> Entry:
    """Run NUTS with a dense mass matrix, as a careful user of the host would."""
    model, data = _prepare(problem)
    kernel = NUTS(model, dense_mass=True)
    state = kernel.init(jax.random.key(0), _NUTS_WARMUP, None, data, {})

    def run(state):
        def step(state, _):
            state = kernel.sample(state, data, {})
            return state, (state.z, state.num_steps)

        return jax.lax.scan(step, state, length=_NUTS_WARMUP + _NUTS_DRAWS)[1]

    # One program for warm-up and draws, compiled once: MCMC compiles each of its runs.
    started = time.perf_counter()
    z, num_steps = jax.block_until_ready(jax.jit(run)(state))
    seconds = time.perf_counter() - started
    drawn = {site: values[_NUTS_WARMUP:] for site, values in z.items()}
    values = jax.vmap(kernel.postprocess_fn(data, {}))(drawn)
    values = {site: np.asarray(draws) for site, draws in values.items()}
    return Entry("NUTS", values, seconds, int(num_steps.sum()))


METHODS = {
    "fit": climb,
    "mean field": fit_mean_field,
    "full rank": fit_full_rank,
    "NUTS": sample_nuts,
}


def _fit(method: str, problem: Problem, guide: Any = None) -> Entry:
    model, data = _prepare(problem)
    started = time.perf_counter()
    fitted = fit(jax.random.key(0), model, *data, guide=guide, progress_bar=False)
    report = fitted.report()
    draws = fitted.draws(jax.random.key(1))
    seconds = time.perf_counter() - started
    gradients = sum(step.gradients for step in report.steps) or fitted.log.gradients
    return Entry(method, draws.values, seconds, gradients, report)


def _prepare(problem: Problem) -> tuple[Callable[..., None], list[jax.Array]]:
    models = {"eight_schools": eight_schools, "kidscore": kidscore, "pitcher": pitcher}
    return models[problem.name], [jnp.asarray(column) for column in problem.data]
