"""A row for each guide, a model whose coordinates are known by hand, and one call for both hosts.

``test_guide_contract.py`` and ``test_guides_in_their_host.py`` put their questions to every row.
Statistical tests have fixed seeds and fail falsely once in ten thousand.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.special import logit

from tests.hosts import Host

RARE = 1e-4
Y = np.array([1.0, 2.0, 3.0])
ARRAYS = {"pyro": "torch", "numpyro": "jax.numpy"}


@dataclass(frozen=True)
class Row:
    """A guide and what holds of it."""

    name: str
    scale: Callable[[int], np.ndarray]  # a scale of that many coordinates
    takes_local_sites: bool  # of plates that are seen in minibatches
    meets_closed_forms: bool  # whether its divergence from a normal prior has no noise
    digits: float = 1e-4  # of its quantiles, relative: a flow's are those of draws
    light: Callable[[Host, int], dict[str, Any]] = lambda host, dim: {}  # for long trainings
    rate: float = 0.1  # step size of a short training
    pace: float = 1.0  # share of the steps of a long one, and of its step size
    hosts: tuple[str, ...] = ("pyro", "numpyro")  # the rooms that have it


def spread(dim: int) -> np.ndarray:
    """Standard deviations, all different."""
    return 0.1 + 0.05 * np.arange(dim)


ROWS = (
    Row("AutoMeanField", spread, takes_local_sites=True, meets_closed_forms=True),
    Row(
        "AutoFullRank",
        lambda dim: np.diag(spread(dim)) + np.tril(np.full((dim, dim), 0.03), -1),
        takes_local_sites=False,
        meets_closed_forms=False,
    ),
    Row(
        "AutoFlow",  # as it stands before any training: the Gaussian that was put into it
        lambda dim: np.diag(spread(dim)) + np.tril(np.full((dim, dim), 0.03), -1),
        takes_local_sites=False,
        meets_closed_forms=False,
        digits=5e-3,
        rate=0.001,
        pace=0.5,
        light=lambda host, dim: {
            "flow": host.room.flows.CouplingFlow(
                dim, transform="affine", num_layers=2, hidden=(8,)
            )
        },
    ),
)
rows = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


def covariance_of(scale: np.ndarray) -> np.ndarray:
    """Covariance of a scale of either kind."""
    return np.diag(scale**2) if scale.ndim == 1 else scale @ scale.T


@dataclass(frozen=True)
class Mixed:
    """A real, a positive and a bounded number, and reals and simplices in a plate."""

    host: str  # by name, so that it can be pickled
    is_proper: bool = False  # without the bounded number, of which a host cannot draw

    def __call__(self, y: Any = None) -> None:
        """Run the model."""
        ppl = import_module(self.host)
        dist, math = ppl.distributions, import_module(ARRAYS[self.host])
        mu = ppl.sample("mu", dist.Normal(0.0, 5.0))
        tau = ppl.sample("tau", dist.HalfCauchy(5.0))
        if not self.is_proper:
            support = dist.constraints.less_than(1.0)
            ppl.sample("below", dist.ImproperUniform(support, (), ()))
        with ppl.plate("group", 3):
            theta = ppl.sample("theta", dist.Normal(mu, tau))
            share = ppl.sample("share", dist.Dirichlet(math.ones(3)))
            ppl.sample("y", dist.Normal(theta + share[..., 0], 1.0), obs=y)


SITES = ("mu", "tau", "below", "theta", "share")
DIM = 12
LOC = np.linspace(-1.0, 1.0, DIM)


def find_coordinates(values: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates ``[draw, 12]`` of ``Mixed`` and the log-Jacobian ``[draw]`` of the way back.

    The positive number is ``exp(z)``, the bounded one ``1 - exp(z)``, and a simplex is broken off
    a stick, the first piece by odds of one to two, the second by even odds.
    """
    first = values["share"][..., 0]
    second = values["share"][..., 1] / (1 - first)
    sticks = np.stack([logit(first) + np.log(2), logit(second)], -1)
    tau, rest = values["tau"][:, None], 1 - values["below"][:, None]
    z = np.concatenate(
        [values["mu"][:, None], np.log(tau), np.log(rest), values["theta"],
         sticks.reshape(len(tau), -1)],
        axis=1,
    )  # fmt: skip
    broken = np.log(first) + 2 * np.log1p(-first) + np.log(second) + np.log1p(-second)
    return z, np.log(tau[:, 0]) + np.log(rest[:, 0]) + broken.sum(-1)


class Placed:
    """A guide that has seen its model, with its parameters: both hosts called alike."""

    def __init__(self, host: Host, kind: str, model: Any, *args: Any, **options: Any) -> None:
        """Make a guide of the room and set it up."""
        self.host, self.model = host, model
        self.args = tuple(host.array(each) for each in args)
        self.guide = getattr(host.room, kind)(model, **options)
        self.params = host.random(self.guide.setup, *self.args)

    @property
    def _known(self) -> tuple[Any, ...]:
        return (self.params,) if self.host.name == "numpyro" else ()

    def set_gaussian(self, loc: Any, scale: Any) -> None:
        """Put a Gaussian into the guide's parameters."""
        self.params = self.guide.set_gaussian(loc, scale)

    def gaussian(self) -> list[np.ndarray]:
        """Read it."""
        return [np.asarray(each, dtype=float) for each in self.guide.gaussian(*self._known)]

    def median(self) -> dict[str, np.ndarray]:
        """Read the medians."""
        return to_numpy(self.guide.median(*self._known))

    def quantiles(self, levels: Sequence[float]) -> dict[str, np.ndarray]:
        """Read quantiles."""
        return to_numpy(self.guide.quantiles(*self._known, levels))

    def sample(self, *shape: int) -> dict[str, np.ndarray]:
        """Draw by ``sample_posterior``."""
        draw = self.guide.sample_posterior
        return to_numpy(self.host.random(draw, *self._known, sample_shape=shape))

    def log_q(self, z: np.ndarray) -> np.ndarray:
        """Log density of coordinates."""
        posterior = self.guide.get_posterior(*self._known)
        return to_numpy({"log_q": posterior.log_prob(self.host.array(z))})["log_q"]

    def run(self, times: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Run the guide as a program: values of its sites, and log q of each run."""
        return run_guide(self.host, self.guide, self.params, times, *self.args)

    def train(self, loss: Any, steps: int, rate: float) -> np.ndarray:
        """Train it by the host's ``SVI`` and return the losses."""
        losses, self.params = train(
            self.host, self.model, self.guide, loss, steps, rate, *self.args
        )
        return losses


def row_of(placed: Placed) -> Row:
    """Return the row of a guide."""
    return next(row for row in ROWS if row.name == type(placed.guide).__name__)


def to_numpy(values: dict[str, Any]) -> dict[str, np.ndarray]:
    """Turn arrays of the host into NumPy's."""
    return {
        name: np.asarray(each.detach() if hasattr(each, "detach") else each)
        for name, each in values.items()
    }


def run_guide(
    host: Host, guide: Any, params: Any, times: int, *args: Any
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Run a guide as a program: values of its sites, and log q of each run."""
    if host.name == "pyro":

        def run() -> tuple[list[Any], list[float]]:
            traces = [host.ppl.poutine.trace(guide).get_trace(*args) for _ in range(times)]
            sites = [
                {
                    name: site["value"]
                    for name, site in trace.nodes.items()
                    if site["type"] == "sample" and not site["infer"].get("is_auxiliary")
                    and type(site["fn"]).__name__ != "_Subsample"
                }
                for trace in traces
            ]  # fmt: skip
            return sites, [float(trace.log_prob_sum().detach()) for trace in traces]

        sites, log_q = host.random(run)
        return {
            name: np.stack([to_numpy(each)[name] for each in sites]) for name in sites[0]
        }, np.array(log_q)
    jax, handlers = import_module("jax"), host.ppl.handlers

    def one(key: Any) -> tuple[dict[str, Any], Any]:
        seeded = handlers.substitute(handlers.seed(guide, key), data=params)
        trace = handlers.trace(seeded).get_trace(*args)
        drawn = {name: site for name, site in trace.items() if site["type"] == "sample"}
        log_q = sum(
            site["fn"]
            .log_prob(site["value"], *([site["intermediates"]] if site["intermediates"] else []))
            .sum()
            for site in drawn.values()
        )
        return {
            name: site["value"]
            for name, site in drawn.items()
            if not site["infer"].get("is_auxiliary")
        }, log_q

    values, log_q = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(1), times))
    return to_numpy(values), np.asarray(log_q)


def train(
    host: Host, model: Any, guide: Any, loss: Any, steps: int, rate: float, *args: Any
) -> tuple[np.ndarray, Any]:
    """Train a guide by the host's ``SVI``: its losses, and what NumPyro returns as parameters."""
    if host.name == "pyro":
        svi = host.ppl.infer.SVI(model, guide, host.ppl.optim.Adam({"lr": rate}), loss)
        return np.array(host.random(lambda: [svi.step(*args) for _ in range(steps)])), None
    svi = host.ppl.infer.SVI(model, guide, import_module("optax").adam(rate), loss)
    result = host.random(svi.run, steps, *args, progress_bar=False)
    return np.asarray(result.losses), result.params


def two_parts(host: Host) -> Any:
    """Return a model of two numbers."""
    ppl, dist = host.ppl, host.dist

    def model():
        ppl.sample("a", dist.Normal(0.0, 1.0))
        ppl.sample("b", dist.Normal(0.0, 1.0))

    return model


def limit(count: int) -> float:
    """Largest absolute z-score that so many may have among them."""
    return float(stats.norm.isf(RARE / 2 / count))


def assert_gaussian(z: np.ndarray, loc: Any, covariance: np.ndarray) -> None:
    """Compare means and covariances of draws, in z-tests."""
    count, variance = len(z), np.diag(covariance)
    scores = (z.mean(0) - loc) / np.sqrt(variance / count)
    assert np.abs(scores).max() < limit(scores.size)
    spread = np.sqrt((np.outer(variance, variance) + covariance**2) / count)
    scores = (np.cov(z.T) - covariance) / spread
    assert np.abs(scores).max() < limit(scores.size)
