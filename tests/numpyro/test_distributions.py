"""What only JAX asks of the distributions: jit, vmap, pytrees, gradients under tracing."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest

import ppl_ext.numpyro as px
from ppl_ext.numpyro.gumbel.random_bits import random_words
from tests.oracles.discrete import ROWS

ARGUMENTS = {row.name: row.arguments for row in reversed(ROWS)}


def build(name):
    return getattr(px.distributions, name)(
        **{
            key: value if isinstance(value, int) else jnp.asarray(value, jnp.float32)
            for key, value in ARGUMENTS[name].items()
        }
    )


@pytest.mark.parametrize("name", ARGUMENTS)
def test_jit_vmap_and_pytrees(name):
    distribution = build(name)
    leaves, structure = jax.tree.flatten(distribution)
    batch = jax.tree.unflatten(structure, [jnp.stack([leaf] * 3) for leaf in leaves])
    keys = jax.random.split(jax.random.key(0), 3)

    @jax.jit
    @jax.vmap
    def both(distribution, key):
        value, between = distribution.sample_with_intermediates(key, (2,))
        return value, distribution.log_prob(value, *([between] if between else []))

    values, log_probs = both(batch, keys)
    assert values.shape == (3, 2, *distribution.event_shape)
    assert np.isfinite(np.asarray(log_probs)).all()


def test_gradients_with_a_masked_class_are_finite():
    def objective(temperature, logits):
        relaxed = px.distributions.ExpRelaxedOneHotCategorical(temperature, logits=logits)
        y = relaxed.sample(jax.random.key(0), (50,))
        return jnp.exp(y).sum() + relaxed.log_prob(y).sum()

    logits = jnp.array([0.5, -jnp.inf, 1.0])
    slopes = jax.jit(jax.grad(objective, argnums=(0, 1)))(0.3, logits)
    assert np.isfinite(np.asarray(slopes[0]))
    assert np.isfinite(np.asarray(slopes[1])[[0, 2]]).all()


def test_tails_differentiate():
    gumbel = px.distributions.Gumbel()
    x = jnp.linspace(-3.0, 20.0, 7)
    density = np.exp(np.asarray(gumbel.log_prob(x)))
    slopes = jax.jit(lambda x: [jax.vmap(jax.grad(f))(x) for f in (gumbel.cdf, gumbel.log_sf)])(x)
    np.testing.assert_allclose(slopes[0], density, rtol=1e-4, atol=1e-30)
    hazard = density / np.asarray(gumbel.sf(x))
    np.testing.assert_allclose(slopes[1], -hazard, rtol=1e-4)


def test_float64_in_the_scoped_switch():
    with jax.enable_x64(True):
        gumbel = px.distributions.Gumbel(jnp.float64(0.0), 1.0)
        assert gumbel.sample(jax.random.key(0), (3,)).dtype == jnp.float64
        np.testing.assert_allclose(gumbel.log_sf(300.0), -300.0, rtol=1e-15)


def test_a_guide_on_the_simplex_itself():
    """The guide's own density is exact through the host's intermediates."""
    simplex = px.distributions.RelaxedOneHotCategorical

    def model():
        with numpyro.plate("row", 20):
            x = numpyro.sample("x", dist.Dirichlet(jnp.ones(10)).mask(False))
            numpyro.sample("y", dist.Normal(x @ jnp.arange(10.0), 0.5), obs=jnp.arange(20.0) / 2)

    def guide():
        logits = numpyro.param("logits", jnp.zeros((20, 10)))
        with numpyro.plate("row", 20):
            numpyro.sample("x", simplex(0.05, logits=logits))

    svi = numpyro.infer.SVI(model, guide, optax.adam(0.02), numpyro.infer.Trace_ELBO())
    result = svi.run(jax.random.key(0), 50, progress_bar=False)
    assert np.isfinite(np.asarray(result.losses)).all()


@pytest.mark.parametrize("shape", [(), (0,), (3, 5), (2**16 + 1,)])
def test_random_words_are_those_of_jax(shape):
    for key in (jax.random.key(7), jax.random.PRNGKey(7), jax.random.key(7, impl="rbg")):
        ours = random_words(key, shape)
        np.testing.assert_array_equal(ours, jax.random.bits(key, shape, jnp.uint32))
    keys = jax.random.split(jax.random.key(7), 3)
    rows = jax.vmap(lambda key: random_words(key, shape))(keys)
    np.testing.assert_array_equal(rows[1], jax.random.bits(keys[1], shape, jnp.uint32))
