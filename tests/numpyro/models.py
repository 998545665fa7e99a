"""Models with answers in closed form, shared by the tests of the NumPyro room."""

import itertools

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

# A linear regression with known noise: the posterior is Gaussian.
RNG = np.random.default_rng(7)
X = np.stack([np.ones(30), RNG.normal(size=30), RNG.normal(size=30) + 1.0], axis=1)
Y = X @ np.array([1.0, -2.0, 0.5]) + RNG.normal(size=30)


def regression(x, y=None):
    b = numpyro.sample("b", dist.Normal(jnp.zeros(2), 2.0).to_event(1))
    c = numpyro.sample("c", dist.Normal(0.0, 3.0))
    mean = numpyro.deterministic("mean", x[:, :2] @ b + x[:, 2] * c)
    with numpyro.plate("row", x.shape[0]):
        numpyro.sample("y", dist.Normal(mean, 1.0), obs=y)


def regression_posterior(x=X, y=Y):
    """Mean, covariance and log evidence of the regression."""
    prior = np.array([4.0, 4.0, 9.0])
    covariance = np.linalg.inv(np.diag(1 / prior) + x.T @ x)
    mean = covariance @ x.T @ y
    marginal = np.eye(len(y)) + (x * prior) @ x.T
    log_evidence = -0.5 * (
        len(y) * np.log(2 * np.pi)
        + np.linalg.slogdet(marginal)[1]
        + y @ np.linalg.solve(marginal, y)
    )
    return mean, covariance, log_evidence


# One latent value for each row, and rows drawn in minibatches: every posterior is a normal.
ROWS = 60
ROW_DATA = RNG.normal(size=ROWS) + np.linspace(-2, 2, ROWS)


def rows(y, size, batch=None):
    with numpyro.plate("row", size, subsample_size=batch) as index:
        z = numpyro.sample("z", dist.Normal(0.0, 1.0))
        w = numpyro.sample("w", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(z, 0.5), obs=y[index])
        numpyro.sample("v", dist.Normal(w, 0.5), obs=-y[index])


def row_means(y=ROW_DATA):
    """Posterior means of z; those of w are their negatives."""
    return y / 1.25


def calls(counter: itertools.count) -> int:
    """Number of calls of ``next`` on a counter, without making one."""
    return int(repr(counter).removeprefix("count(").removesuffix(")"))
