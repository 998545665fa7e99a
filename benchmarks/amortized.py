"""Amortized guides against closed forms: ``python benchmarks/amortized.py``.

The linear Gaussian model z ~ N(0, I), x ~ N(W z, s^2 I): how far the bound of the exact posterior,
put into the encoder, is from the evidence, and how far a trained linear encoder stays from it, in
nats for each row. And the means of 100 rows seen ten at a time, two independent local sites each:
distance to the closed form after training the default encoder, and correlation of the draws of
parts that are independent. A guide that learns nothing comes to 1.75, the spread of the data.

An encoder that is wrong on purpose, by a shifted mean and too wide a scale: the amortization gap
that ``refine`` reports beside the closed form, and what is left between the refined bound and the
evidence. And posteriors shaped like parabolas, x ~ N(z_1 + z_0^2, .3^2): how far a trained flow
stays from the log evidence by quadrature, and the best Gaussian of each row.
"""

import argparse
from collections.abc import Callable
from importlib import import_module
from time import process_time
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import logsumexp
from tables import format_table, number

ROWS, DIM, NOISE, SIZE, BATCH = 200, 2, 0.5, 100, 10
W = np.array([[1.0, 0.3], [-0.4, 0.8], [0.6, -1.1]])
COVARIANCE = np.linalg.inv(np.eye(DIM) + W.T @ W / NOISE**2)
HEADER = ("host", "seed", "bound - evidence", "gap", "rmse u", "rmse v", "correlation", "CPU s")
REFINED = ("host", "seed", "gap", "closed form", "left", "flow", "best Gaussian", "CPU s")
SHIFT, WIDER = np.array([0.6, -0.9]), 1.7
BENT = np.linspace(-2.0, 1.0, 50)


class OnPyro:
    """What the benchmark asks of Pyro."""

    def __init__(self) -> None:
        self.ppl, self.math = import_module("pyro"), import_module("torch")
        self.guide = import_module("ppl_ext.pyro").AutoAmortized
        self.params: tuple[Any, ...] = ()

    def array(self, values: np.ndarray) -> Any:
        """As a tensor."""
        return self.math.as_tensor(np.asarray(values, np.float32))

    def encoder(self, weight: np.ndarray, bias: np.ndarray) -> Any:
        """A linear encoder that starts at these weights."""
        linear = self.math.nn.Linear(*weight.shape)
        linear.weight.data, linear.bias.data = self.array(weight.T), self.array(bias)
        return linear

    def bound(self, model: Callable[..., Any], guide: Any, x: Any) -> float:
        """The host's estimate from one draw."""
        return -float(self.ppl.infer.Trace_ELBO().loss(model, guide, x))

    def train(
        self, model: Callable[..., Any], guide: Any, steps: int, rate: float, seed: int, *args: Any
    ) -> None:
        """Fit the guide by the host's own SVI."""
        self.ppl.clear_param_store()
        self.ppl.set_rng_seed(seed)
        adam = self.ppl.optim.ClippedAdam({"lr": rate, "lrd": 0.01 ** (1 / steps)})
        loss = self.ppl.infer.Trace_ELBO(num_particles=10, vectorize_particles=True)
        svi = self.ppl.infer.SVI(model, guide, adam, loss)
        for _ in range(steps):
            svi.step(*args)

    def draw(self, guide: Any, num_draws: int, *args: Any) -> dict[str, Any]:
        """Draw from the fitted guide."""
        return guide.sample_posterior(*args, sample_shape=(num_draws,))

    def refine(self, guide: Any, *args: Any, **options: Any) -> Any:
        """The gap of a guide's answers."""
        return guide.setup(*args).refine(*args, **options).gap

    def score(self, guide: Any, x: Any) -> Any:
        """The gap of a trained guide, before any step of note."""
        return guide.refine(x, max_steps=1, num_draws=4000).gap


class OnNumPyro:
    """What the benchmark asks of NumPyro."""

    def __init__(self) -> None:
        self.ppl, self.jax = import_module("numpyro"), import_module("jax")
        self.guide = import_module("ppl_ext.numpyro").AutoAmortized
        self.array = import_module("jax.numpy").asarray
        self.params: tuple[Any, ...] = ()

    def encoder(self, weight: np.ndarray, bias: np.ndarray) -> Any:
        """A linear encoder that starts at these weights."""
        weights = {"weight": self.array(weight), "bias": self.array(bias)}
        return (lambda p, rows: rows @ p["weight"] + p["bias"]), weights

    def bound(self, model: Callable[..., Any], guide: Any, x: Any) -> float:
        """The host's estimate from one draw."""
        key = self.jax.random.key(0)
        loss = self.ppl.infer.Trace_ELBO().loss
        return -float(loss(key, guide.setup(key, x), model, guide, x))

    def train(
        self, model: Callable[..., Any], guide: Any, steps: int, rate: float, seed: int, *args: Any
    ) -> None:
        """Fit the guide by the host's own SVI."""
        adam = self.ppl.optim.Adam(lambda step: rate * 0.01 ** (step / steps))
        loss = self.ppl.infer.Trace_ELBO(num_particles=10)
        svi = self.ppl.infer.SVI(model, guide, adam, loss)
        key = self.jax.random.key(seed)
        self.params = (svi.run(key, steps, *args, progress_bar=False).params,)

    def draw(self, guide: Any, num_draws: int, *args: Any) -> dict[str, Any]:
        """Draw from the fitted guide."""
        key = self.jax.random.key(1)
        return guide.sample_posterior(key, *self.params, *args, sample_shape=(num_draws,))

    def refine(self, guide: Any, *args: Any, **options: Any) -> Any:
        """The gap of a guide's answers."""
        key = self.jax.random.key(2)
        return guide.refine(key, guide.setup(key, *args), *args, **options).gap

    def score(self, guide: Any, x: Any) -> Any:
        """The gap of a trained guide, before any step of note."""
        key = self.jax.random.key(3)
        return guide.refine(key, *self.params, x, max_steps=1, num_draws=4000).gap


def to_numpy(value: Any) -> np.ndarray:
    return np.asarray(value.detach() if hasattr(value, "detach") else value, float)


def make_linear(on: Any) -> Callable[..., Any]:
    """The linear Gaussian model."""
    dist, weights = on.ppl.distributions, on.array(W)

    def model(x):
        with on.ppl.plate("rows", len(x)):
            z = on.ppl.sample("z", dist.Normal(on.array(np.zeros(DIM)), 1.0).to_event(1))
            on.ppl.sample("x", dist.Normal(z @ weights.T, NOISE).to_event(1), obs=x)

    return model


def draw_linear(seed: int) -> np.ndarray:
    """Rows of it."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(ROWS, DIM)) @ W.T + NOISE * rng.normal(size=(ROWS, 3))


def find_evidence(x: np.ndarray) -> np.ndarray:
    """Log evidence of every row of it."""
    return stats.multivariate_normal(np.zeros(3), W @ W.T + NOISE**2 * np.eye(3)).logpdf(x)


def measure_linear(on: Any, seed: int) -> tuple[float, float]:
    """Distance of the exact bound to the evidence, and gap of a trained encoder, a row."""
    x, model = draw_linear(seed), make_linear(on)
    tril, exact = np.linalg.cholesky(COVARIANCE), np.zeros((3, 5))
    exact[:, :DIM] = W @ COVARIANCE / NOISE**2
    bias = np.r_[np.zeros(DIM), np.log(np.expm1(np.diag(tril))), tril[1, 0]]
    bound = on.bound(model, on.guide(model, encoder=on.encoder(exact, bias)), on.array(x))
    guide = on.guide(model, encoder=on.encoder(np.zeros((3, 5)), np.zeros(5)))
    on.train(model, guide, 500, 0.1, seed, on.array(x))
    found = guide.local_posterior(*on.params, on.array(x))
    covariance, precision = to_numpy(found.covariance_matrix), np.linalg.inv(COVARIANCE)
    away = to_numpy(found.mean) - x @ exact[:, :DIM]
    gap = np.einsum("ij,nji->n", precision, covariance) - DIM
    gap += np.linalg.slogdet(COVARIANCE)[1] - np.linalg.slogdet(covariance)[1]
    gap += np.einsum("ni,ij,nj->n", away, precision, away)
    return (bound - find_evidence(x).sum()) / ROWS, gap.mean() / 2


def measure_minibatches(on: Any, seed: int, steps: int) -> tuple[float, float, float]:
    """Root mean square error of both local means, and correlation of their draws."""
    dist = on.ppl.distributions

    def model(x, y):
        with on.ppl.plate("rows", len(x), subsample_size=BATCH) as rows:
            u = on.ppl.sample("u", dist.Normal(0.0, 10.0))
            v = on.ppl.sample("v", dist.Normal(0.0, 10.0))
            on.ppl.sample("x", dist.Normal(u, 0.5), obs=x[rows])
            on.ppl.sample("y", dist.Normal(v, 0.5), obs=y[rows])

    x = np.linspace(-3.0, 3.0, SIZE)
    y = np.random.default_rng(seed).permutation(x)
    guide = on.guide(model)
    on.train(model, guide, steps, 0.01, seed, on.array(x), on.array(y))
    draws = on.draw(guide, 4000, on.array(x), on.array(y))
    u, v = to_numpy(draws["u"]), to_numpy(draws["v"])
    shrink = 100.0 / 100.25
    errors = [np.sqrt(np.mean((z.mean(0) - shrink * data) ** 2)) for z, data in ((u, x), (v, y))]
    correlation = np.corrcoef((u - u.mean(0)).ravel(), (v - v.mean(0)).ravel())[0, 1]
    return (*errors, correlation)


def measure_refined(on: Any, seed: int) -> tuple[float, float, float]:
    """The gap of a wrong encoder, its closed form, and what refined rows leave of the evidence."""
    x = draw_linear(seed)
    tril, wrong = WIDER * np.linalg.cholesky(COVARIANCE), np.zeros((3, 5))
    wrong[:, :DIM] = W @ COVARIANCE / NOISE**2
    bias = np.r_[SHIFT, np.log(np.expm1(np.diag(tril))), tril[1, 0]]
    guide = on.guide(make_linear(on), encoder=on.encoder(wrong, bias))
    gap = on.refine(guide, on.array(x))
    exact = DIM * (WIDER**2 - 1 - 2 * np.log(WIDER)) + SHIFT @ np.linalg.inv(COVARIANCE) @ SHIFT
    return gap.mean, exact / 2, (find_evidence(x) - gap.after).mean()


def measure_bent(on: Any, seed: int, steps: int) -> tuple[float, float]:
    """Distance to the log evidence of a trained flow, and of the best Gaussian of each row."""
    dist = on.ppl.distributions

    def model(x):
        with on.ppl.plate("rows", len(x)):
            z = on.ppl.sample("z", dist.Normal(on.array(np.zeros(2)), 1.0).to_event(1))
            on.ppl.sample("x", dist.Normal(z[..., 1] + z[..., 0] ** 2, 0.3), obs=x)

    grid = np.linspace(-6.0, 6.0, 2001)
    joint = stats.norm.logpdf(grid) + stats.norm.logpdf(BENT[:, None], grid**2, np.hypot(1.0, 0.3))
    evidence, x = logsumexp(joint, 1) + np.log(grid[1] - grid[0]), on.array(BENT)
    flow = on.guide(model, local="flow")
    on.train(model, flow, steps, 0.01, seed, x)
    found = (evidence - on.score(flow, x).before).mean()
    start = on.encoder(np.zeros((1, 5)), np.full(5, 0.3))
    return found, (evidence - on.refine(on.guide(model, encoder=start), x).after).mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", nargs="+", default=["pyro", "numpyro"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=2_000, help="of the fit by minibatches")
    parser.add_argument("--flow-steps", type=int, default=1_500, help="of the fit of a flow")
    arguments = parser.parse_args()
    trained, refined = [], []
    for host in arguments.hosts:
        on = {"pyro": OnPyro, "numpyro": OnNumPyro}[host]()
        for seed in arguments.seeds:
            begin = process_time()
            bound, gap = measure_linear(on, seed)
            u, v, correlation = measure_minibatches(on, seed, arguments.steps)
            figures = [f"{bound:.1e}", number(gap, 4), number(u, 3), number(v, 3)]
            spent = number(process_time() - begin, 0)
            trained.append([host, str(seed), *figures, number(correlation, 3), spent])
            begin = process_time()
            found = *measure_refined(on, seed), *measure_bent(on, seed, arguments.flow_steps)
            spent = number(process_time() - begin, 0)
            refined.append([host, str(seed), *(number(each, 4) for each in found), spent])
    print(format_table(HEADER, trained))
    print("targets: 1e-5 | gap < 0.01 nats | rmse <= 0.06 | correlation within 0.03 of 0\n")
    print(format_table(REFINED, refined))
    print("targets: gap within 0.05 of its closed form | left < 0.005 | flow < 0.05 nats")


if __name__ == "__main__":
    main()
