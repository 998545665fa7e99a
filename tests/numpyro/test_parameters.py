"""Parameters as NumPyro has them: trees of arrays, random starts, mutable sites, float64."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from ppl_ext.numpyro import Deterministic, fit

RNG = np.random.default_rng(3)
X = RNG.normal(size=(30, 2))
Y = X @ [1.0, -2.0] + 0.5 + RNG.normal(size=30)


def least_squares():
    """Weights and bias that maximise the evidence of y ~ Normal(x w + b + u, 1)."""
    design = np.column_stack([X, np.ones(30)])
    precision = np.linalg.inv(np.eye(30) + 0.25 * np.ones((30, 30)))
    return np.linalg.solve(design.T @ precision @ design, design.T @ precision @ Y)


def draw_weights(rng_key):
    return {"w": jax.random.normal(rng_key, (2,)), "b": jnp.zeros(())}


def network(x, y):
    net = numpyro.param("net", draw_weights)
    u = numpyro.sample("u", dist.Normal(0.0, 0.5))
    mean = numpyro.deterministic("mean", x @ net["w"] + net["b"] + u)
    with numpyro.plate("row", 30):
        numpyro.sample("y", dist.Normal(mean, 1.0), obs=y)


@pytest.fixture(scope="module")
def fitted():
    return fit(jax.random.key(0), network, X, Y, progress_bar=False)


def test_a_tree_of_arrays_is_learnt_from_a_random_start(fitted):
    best = least_squares()
    net = fitted.params["net"]
    np.testing.assert_allclose([*net["w"], net["b"]], best, atol=5e-3)
    # The values that depend on it are those of the fitted tree, in draws of the guide too.
    draws = fitted.draws(jax.random.key(1), 5)
    sites = fitted.guide.sample_posterior(jax.random.key(1), fitted.params, sample_shape=(5,))
    for values in (draws.values, sites):
        mean = X @ net["w"] + net["b"] + np.asarray(values["u"])[:, None]
        np.testing.assert_allclose(values["mean"], mean, rtol=1e-4, atol=1e-4)


def test_parameters_survive_a_pickle(fitted):
    bound = pickle.loads(pickle.dumps(fitted.bound))
    assert bound.has_density
    np.testing.assert_array_equal(bound.arrays[-1], fitted.bound.arrays[-1])


def test_parameters_in_float64():
    fitted = fit(jax.random.key(0), network, X, Y, progress_bar=False, enable_x64=True)
    assert fitted.params["net"]["w"].dtype == np.float64
    np.testing.assert_allclose(fitted.params["net"]["w"], least_squares()[:2], atol=1e-4)
    assert fitted.density.log_p(np.zeros((1, 1))).shape == (1,)


def test_a_mutable_site_and_hidden_draws_are_obstacles():
    def counting(y):
        numpyro.primitives.mutable("count", {"n": jnp.zeros(())})
        x = numpyro.sample("x", dist.Normal(numpyro.param("m", 0.0), 1.0))
        numpyro.sample("y", dist.Normal(x, 1.0), obs=y)

    def dropping(y):
        kept = jax.random.bernoulli(numpyro.prng_key(), 0.5)
        x = numpyro.sample("x", dist.Normal(kept * numpyro.param("m", 0.0), 1.0))
        numpyro.sample("y", dist.Normal(x, 1.0), obs=y)

    for model, why in [
        (counting, r"one of \['count', 'm'\] is a mutable site"),
        (dropping, r"draws a key of numpyro.prng_key\(\) beside"),
    ]:
        with pytest.raises(ValueError, match=f"Deterministic was given and .*{why}"):
            fit(jax.random.key(0), model, 1.0, optimizer=Deterministic())
