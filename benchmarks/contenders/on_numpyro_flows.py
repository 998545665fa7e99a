"""Flows in NumPyro beside the host's own, on posteriors that no Gaussian follows."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
from measuring import clock
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoBNAFNormal, AutoDAIS, AutoIAFNormal

import ppl_ext.numpyro as px
from models.pitcher.data import LANDED
from models.pitcher.on_numpyro import model as pitcher
from ppl_ext.draws.psis import smooth_weights

__all__ = ["fit_flow", "fit_host_flow"]

EFFECTS = jnp.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = jnp.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
DRAWS = 20_000


def funnel() -> None:
    """Neal's, in ten dimensions; log evidence 0."""
    y = numpyro.sample("y", dist.Normal(0.0, 3.0))
    numpyro.sample("x", dist.Normal(jnp.zeros(9), jnp.exp(y / 2)).to_event(1))


def banana() -> None:
    """A parabola with noise; log evidence 0."""
    a = numpyro.sample("a", dist.Normal(0.0, 1.0))
    numpyro.sample("b", dist.Normal(a**2, 0.3))


def schools() -> None:
    """Eight schools, centred; log evidence about -31.31."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
    theta = numpyro.sample("theta", dist.Normal(mu, tau).expand([8]).to_event(1))
    numpyro.sample("y", dist.Normal(theta, ERRORS).to_event(1), obs=EFFECTS)


PROBLEMS: dict[str, tuple[Callable[..., None], tuple[Any, ...]]] = {
    "banana": (banana, ()),
    "funnel": (funnel, ()),
    "pitcher": (pitcher, (jnp.asarray(LANDED),)),
    "schools": (schools, ()),
}
HOST_GUIDES = {
    "inverse autoregressive": AutoIAFNormal,
    "block autoregressive": AutoBNAFNormal,
    "annealed importance sampling": AutoDAIS,
}


def fit_flow(name: str, seed: int) -> dict[str, Any]:
    """Fit our flow once: ELBO, k-hat, effective draws, gradients and CPU seconds."""
    model, args = PROBLEMS[name]
    fit, cpu = clock(
        lambda: px.fit(jax.random.key(seed), model, *args, guide=px.AutoFlow, progress_bar=False)
    )
    draws = fit.draws(jax.random.key(seed + 1), DRAWS)
    return {**weigh(draws.log_weights), "gradients": fit.log.gradients, "cpu": cpu}


def fit_host_flow(name: str, guide: str, seed: int, rate: float, steps: int) -> dict[str, Any]:
    """The host's guide at its defaults with Adam, as its tutorials do."""
    model, args = PROBLEMS[name]
    family = HOST_GUIDES[guide](model)
    svi = SVI(model, family, optax.adam(rate), Trace_ELBO())
    run, cpu = clock(
        lambda: svi.run(jax.random.key(seed), steps, *args, progress_bar=False, stable_update=True)
    )
    one = jax.jit(
        lambda key: -Trace_ELBO().loss(key, run.params, model, family, *args),
    )
    keys = jax.random.split(jax.random.key(seed + 1), DRAWS)
    log_weights = np.asarray(jax.lax.map(one, keys, batch_size=500), float)
    return {**weigh(log_weights), "gradients": steps, "cpu": cpu}


def weigh(log_weights: np.ndarray) -> dict[str, float]:
    """What log importance weights say: the bound, the shape of their tail, effective draws."""
    finite = np.where(np.isfinite(log_weights), log_weights, -np.inf)
    smoothed = smooth_weights(finite)
    return {"elbo": float(finite.mean()), "khat": smoothed.khat, "ess": smoothed.ess}
