"""The demonstration on NumPyro: two models, two guides, and NUTS beside them."""

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

from ppl_ext.commands.demo.problem import Entry, Judgement, Problem
from ppl_ext.numpyro.fitting.entry import fit
from ppl_ext.numpyro.guides import AutoFullRank, AutoMeanField

__all__ = ["METHODS", "eight_schools", "kidscore"]

_DRAWS = 20_000
_NUTS_WARMUP, _NUTS_DRAWS = 1000, 2000


def eight_schools(standard_error, effect=None):
    """A hierarchy of school effects, non-centered."""
    mu = numpyro.sample("mu", dist.Normal(0, 5))
    tau = numpyro.sample("tau", dist.HalfCauchy(5))
    with numpyro.plate("school", len(standard_error)):
        z = numpyro.sample("z", dist.Normal(0, 1))
        theta = numpyro.deterministic("theta", mu + tau * z)
        numpyro.sample("effect", dist.Normal(theta, standard_error), obs=effect)


def kidscore(mom_hs, mom_iq, kid_score=None):
    """A regression with an interaction; flat prior on the coefficients."""
    with numpyro.plate("term", 4):
        beta = numpyro.sample("beta", dist.ImproperUniform(constraints.real, (), ()))
    sigma = numpyro.sample("sigma", dist.HalfCauchy(2.5))
    mean = beta[0] + beta[1] * mom_hs + beta[2] * mom_iq + beta[3] * mom_hs * mom_iq
    with numpyro.plate("child", len(mom_iq)):
        numpyro.sample("kid_score", dist.Normal(mean, sigma), obs=kid_score)


def fit_mean_field(problem: Problem) -> Entry:
    """Fit a mean-field guide and judge it."""
    return _fit_guide("mean field", AutoMeanField, problem)


def fit_full_rank(problem: Problem) -> Entry:
    """Fit a full-rank guide and judge it."""
    return _fit_guide("full rank", AutoFullRank, problem)


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
    program = jax.jit(run).lower(state).compile()
    compiled = time.perf_counter()
    z, num_steps = jax.block_until_ready(program(state))
    ended = time.perf_counter()
    drawn = {site: values[_NUTS_WARMUP:] for site, values in z.items()}
    values = jax.vmap(kernel.postprocess_fn(data, {}))(drawn)
    values = {site: np.asarray(draws) for site, draws in values.items()}
    gradients = int(num_steps.sum())
    return Entry("NUTS", values, ended - compiled, compiled - started, gradients)


METHODS = {"mean field": fit_mean_field, "full rank": fit_full_rank, "NUTS": sample_nuts}


def _fit_guide(method: str, guide: Any, problem: Problem) -> Entry:
    model, data = _prepare(problem)
    fitted = fit(jax.random.key(0), model, *data, guide=guide, progress_bar=False)
    draws = fitted.draws(jax.random.key(1), _DRAWS)
    started = time.perf_counter()
    report = fitted.report()
    judgement = Judgement(draws, report, time.perf_counter() - started)
    log = fitted.log
    return Entry(method, draws.values, log.seconds, log.compile_seconds, log.gradients, judgement)


def _prepare(problem: Problem) -> tuple[Callable[..., None], list[jax.Array]]:
    model = {"eight_schools": eight_schools, "kidscore": kidscore}[problem.name]
    return model, [jnp.asarray(column) for column in problem.data]
