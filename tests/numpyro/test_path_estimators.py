"""Estimators under JAX's transformations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ppl_ext.numpyro import distributions, estimators
from tests.oracles.estimators import BINARY

ALL = [
    estimators.GumbelSoftmax(),
    estimators.GappedStraightThrough(),
    estimators.GumbelRao(num_draws=2),
    estimators.ReinMax(1.3),
]
LOGITS = jnp.array([0.3, -0.5, 0.8])


@pytest.mark.parametrize("estimator", ALL, ids=repr)
def test_forward_and_reverse_agree(estimator):
    """Under vmap and jit, and symmetric."""

    def jacobians(key):
        sample = lambda logits: estimator.sample(key, logits)  # noqa: E731
        return jax.jacfwd(sample)(LOGITS), jax.jacrev(sample)(LOGITS)

    forward, reverse = jax.jit(jax.vmap(jacobians))(jax.random.split(jax.random.key(0), 5))
    np.testing.assert_allclose(forward, reverse, atol=1e-6)
    np.testing.assert_allclose(forward, np.swapaxes(forward, -1, -2), atol=1e-6)


@pytest.mark.parametrize("estimator", ALL[1:4], ids=repr)
def test_second_derivatives_are_finite(estimator):
    def square(logits):
        return (estimator.sample(jax.random.key(0), logits) @ jnp.arange(3.0)) ** 2

    second = jax.jit(jax.hessian(square))(LOGITS)
    assert jnp.isfinite(second).all()


def test_pytrees():
    """A number is a setting; an array is a leaf, so that a temperature can be annealed."""
    assert jax.tree.leaves(estimators.ReinMax(1.1)) == []
    assert jax.tree.leaves(estimators.ReinMax(jnp.array(1.1))) == [jnp.array(1.1)]
    traced = jax.jit(lambda temperature: estimators.ReinMax(temperature).sample(
        jax.random.key(0), LOGITS
    ))  # fmt: skip
    assert traced(1.2).shape == (3,)
    site = distributions.OneHotCategoricalStraightThrough(
        logits=jnp.zeros((4, 3)), estimator=estimators.ReinMax(1.1)
    )
    draws = jax.vmap(lambda site: site.sample(jax.random.key(0)))(site)
    assert draws.shape == (4, 3)
    assert jax.tree.map(lambda leaf: leaf, site).estimator == estimators.ReinMax(1.1)

    def step(logits, key):
        slope = jax.grad(lambda logits: site_value(logits, key))(logits)
        return logits - 0.1 * slope, None

    def site_value(logits, key):
        site = distributions.OneHotCategoricalStraightThrough(
            logits=logits, estimator=estimators.ReinMax()
        )
        return site.sample(key) @ jnp.arange(3.0)

    final, _ = jax.lax.scan(step, LOGITS, jax.random.split(jax.random.key(1), 20))
    assert final[0] > final[2]


def test_memory_does_not_grow_with_the_draws():
    logits = jnp.zeros((64, 100))

    def bytes_of(num_draws):
        estimator = estimators.GumbelRao(num_draws=num_draws)
        slope = jax.grad(lambda logits: (estimator.sample(jax.random.key(0), logits) ** 2).sum())
        return jax.jit(slope).lower(logits).compile().memory_analysis().temp_size_in_bytes

    assert bytes_of(200) < bytes_of(2) + 64 * 200  # the keys alone


def test_a_scan_carries_a_baseline():
    """The mean of the values so far, the recent ones weighing more."""
    weights = jnp.array([0.0, 1.0])
    table = jnp.asarray(BINARY.logits)

    def surrogate(baseline, key, logits):
        estimator = estimators.ScoreFunction(baseline)
        return estimator.surrogate(key, lambda z: ((z @ weights).sum(-1) - 0.3) ** 2, logits)

    def step(mean, key):
        slope, value = jax.vmap(jax.grad(with_value, 2, has_aux=True), (None, None, 0))(
            mean, key, table
        )
        return 0.5 * (mean + value.mean()), (value, slope)

    def with_value(*arguments):
        value = surrogate(*arguments)
        return value, value

    keys = jax.random.split(jax.random.key(0), 20)
    scan = jax.jit(lambda mean: jax.lax.scan(step, mean, keys))
    mean, (values, slopes) = scan(jnp.array(0.0))
    truth = (0.5 ** np.arange(20, 0, -1)) @ np.asarray(values).mean(-1)
    np.testing.assert_allclose(mean, truth, rtol=1e-5)
    assert np.isfinite(np.asarray(slopes)).all()
