"""Flows in Pyro beside the host's own, on posteriors that no Gaussian follows."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from measuring import clock
from pyro.distributions.transforms import affine_autoregressive
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.autoguide import AutoIAFNormal, AutoNormalizingFlow

import ppl_ext.pyro as px
from contenders.on_pyro import coordinate_order
from models.pitcher.data import LANDED
from models.pitcher.on_pyro import model as pitcher
from ppl_ext.draws.psis import smooth_weights

__all__ = ["fit_flow", "fit_host_flow"]

EFFECTS = torch.tensor([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = torch.tensor([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
DRAWS = 20_000


def funnel() -> None:
    """Neal's, in ten dimensions; log evidence 0."""
    y = pyro.sample("y", dist.Normal(0.0, 3.0))
    pyro.sample("x", dist.Normal(torch.zeros(9), torch.exp(y / 2).unsqueeze(-1)).to_event(1))


def banana() -> None:
    """A parabola with noise; log evidence 0."""
    a = pyro.sample("a", dist.Normal(0.0, 1.0))
    pyro.sample("b", dist.Normal(a**2, 0.3))


def schools() -> None:
    """Eight schools, centred; log evidence about -31.34."""
    mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = pyro.sample("tau", dist.HalfCauchy(5.0))
    theta = pyro.sample("theta", dist.Normal(mu, tau).expand([8]).to_event(1))
    pyro.sample("y", dist.Normal(theta, ERRORS).to_event(1), obs=EFFECTS)


PROBLEMS: dict[str, tuple[Callable[..., None], tuple[torch.Tensor, ...]]] = {
    "banana": (banana, ()),
    "funnel": (funnel, ()),
    "pitcher": (pitcher, (torch.tensor(LANDED).float(),)),
    "schools": (schools, ()),
}
HOST_GUIDES = {
    "inverse autoregressive": AutoIAFNormal,
    "normalizing flow": partial(
        AutoNormalizingFlow, init_transform_fn=partial(affine_autoregressive)
    ),
}


def fit_flow(name: str, seed: int) -> dict[str, Any]:
    """Fit our flow once: ELBO, k-hat, effective draws, gradients and CPU seconds."""
    torch.set_num_threads(1)
    model, args = PROBLEMS[name]
    fit, cpu = clock(
        lambda: px.fit(model, *args, guide=px.AutoFlow, seed=seed, progress_bar=False)
    )
    draws = fit.draws(DRAWS, seed=seed + 1)
    return {**weigh(draws.log_weights), "gradients": fit.log.gradients, "cpu": cpu}


def fit_host_flow(name: str, guide: str, seed: int, rate: float, steps: int) -> dict[str, Any]:
    """The host's flow at its defaults with Adam, step by step as its tutorials do."""
    torch.set_num_threads(1)
    pyro.set_rng_seed(seed)
    pyro.clear_param_store()
    model, args = PROBLEMS[name]
    family = HOST_GUIDES[guide](model)
    svi = SVI(model, family, pyro.optim.Adam({"lr": rate}), Trace_ELBO())

    def run() -> None:
        for _ in range(steps):
            svi.step(*args)

    _, cpu = clock(run)
    density = px.trace_density(model, *args)
    with torch.no_grad():
        posterior = family.get_posterior()
        z = posterior.rsample((DRAWS,))
        log_q = posterior.log_prob(z).double().numpy()
    order = coordinate_order(family, density)
    log_weights = density.log_p(z.double().numpy()[:, order]) - log_q
    return {**weigh(log_weights), "gradients": steps, "cpu": cpu}


def weigh(log_weights: np.ndarray) -> dict[str, float]:
    """What log importance weights say: the bound, the shape of their tail, effective draws."""
    finite = np.where(np.isfinite(log_weights), log_weights, -np.inf)
    smoothed = smooth_weights(finite)
    return {"elbo": float(finite.mean()), "khat": smoothed.khat, "ess": smoothed.ess}
