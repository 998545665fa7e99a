"""Normalizing flows: inverses, determinants, masses, and laws that they have to learn."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from scipy import stats

from ppl_ext.numpyro import StickTheLanding
from ppl_ext.numpyro.flows import AutoregressiveFlow, CouplingFlow

KINDS = (CouplingFlow, AutoregressiveFlow)
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
every_transform = pytest.mark.parametrize("transform", ["spline", "affine"])
SMALL = {"hidden": (16, 16), "num_layers": 4}


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def shake(flow, size=0.3, seed=0):
    """Parameters somewhere, so that no layer is the identity."""
    leaves, tree = jax.tree.flatten(flow.init(jax.random.key(seed)))
    keys = jax.random.split(jax.random.key(seed + 1), len(leaves))
    return jax.tree.unflatten(
        tree,
        [
            leaf
            + size
            / np.sqrt(max(1, leaf.shape[-2]))
            * jax.random.normal(key, leaf.shape, leaf.dtype)
            for leaf, key in zip(leaves, keys, strict=True)
        ],
    )


def train(loss, params, steps, rate=2e-2):
    """Follow gradients by Adam, in one program."""
    optimizer = optax.adam(optax.cosine_decay_schedule(rate, steps))

    @jax.jit
    def run(params):
        def step(carry, rng_key):
            params, state = carry
            value, gradient = jax.value_and_grad(loss)(params, rng_key)
            updates, state = optimizer.update(gradient, state)
            return (optax.apply_updates(params, updates), state), value

        keys = jax.random.split(jax.random.key(2), steps)
        return jax.lax.scan(step, (params, optimizer.init(params)), keys)[0][0]

    return run(params)


@pytest.mark.parametrize("hidden", [(), (7,), (2, 7, 8, 8)])
def test_autoregressive_draws_are_inverse_to_densities_with_layers_of_any_width(hidden):
    """Layers that cannot be divided among the coordinates, and narrower than they are many."""
    with jax.enable_x64(True):
        flow = AutoregressiveFlow(3, 2, hidden=hidden, num_layers=2)
        params = shake(flow, size=1.0)
        e = jax.random.normal(jax.random.key(3), (5, 4, 3))
        context = jax.random.normal(jax.random.key(4), (4, 2))
        x, log_slope = flow.push(params, e, context)
        back, log_slope_back = flow.pull(params, x, context)
        np.testing.assert_allclose(back, e, atol=1e-8)
        np.testing.assert_allclose(log_slope_back, -log_slope, atol=1e-8)


@every_kind
@pytest.mark.parametrize(("transform", "dim"), [("spline", 1), ("spline", 5), ("affine", 2)])
def test_push_and_pull_are_inverse_and_know_their_determinant(kind, transform, dim):
    with jax.enable_x64(True):
        flow = kind(dim, 2, transform=transform, **SMALL)
        params = shake(flow)
        e = 2 * jax.random.normal(jax.random.key(3), (6, dim))
        context = jax.random.normal(jax.random.key(4), (6, 2))
        x, log_slope = flow.push(params, e, context)
        assert x.dtype == np.float64
        assert float(jnp.abs(x - e).max()) > 0.1
        back, log_slope_back = flow.pull(params, x, context)
        np.testing.assert_allclose(back, e, atol=1e-8)
        np.testing.assert_allclose(log_slope_back, -log_slope, atol=1e-8)
        one = jax.jit(jax.vmap(jax.jacfwd(lambda e, c: flow.push(params, e, c)[0])))
        jacobians = np.asarray(one(e, context))
        np.testing.assert_allclose(log_slope, np.linalg.slogdet(jacobians)[1], atol=1e-8)


@every_kind
@every_transform
def test_the_start_is_the_identity(kind, transform):
    flow = kind(3, 1, transform=transform)
    q = flow(flow.init(jax.random.key(0)), jnp.ones((4, 1)))
    x = 3 * jax.random.normal(jax.random.key(1), (5, 4, 3))
    expected = stats.norm.logpdf(np.asarray(x, float)).sum(-1)
    np.testing.assert_allclose(q.log_prob(x), expected, rtol=1e-4)
    assert q.batch_shape == (4,)
    assert q.event_shape == (3,)


@every_kind
@pytest.mark.parametrize("dim", [1, 2])
def test_the_density_integrates_to_one_and_is_that_of_the_draws(kind, dim):
    flow = kind(dim, **SMALL)
    q = flow(shake(flow, 0.2))
    draws = np.asarray(jax.jit(lambda key: q.sample(key, (20_000,)))(jax.random.key(5)))
    low, high = draws.min() - 2, draws.max() + 2
    axis, step = np.linspace(low, high, 401, retstep=True)
    grid = np.stack(np.meshgrid(*[axis] * dim, indexing="ij"), -1)
    mass = np.exp(np.asarray(jax.jit(q.log_prob)(grid))) * step**dim
    assert mass.sum() == pytest.approx(1.0, abs=2e-3)
    # The first coordinate of the draws against the margin of the density.
    margin = np.cumsum(mass.reshape(len(axis), -1).sum(1))
    ends = axis + step / 2
    assert stats.kstest(draws[:, 0], lambda x: np.interp(x, ends, margin)).pvalue > 1e-4


@every_kind
def test_draws_come_with_their_density(kind):
    flow = kind(3, 2, **SMALL)

    @jax.jit
    def draw(params, rng_key, context):
        q = flow(params, context)
        x, log_q = q.sample_with_log_prob(rng_key, (10,))
        # One program over contexts is the same as a batch of them.
        one = jax.vmap(lambda x, c: flow(params, c).log_prob(x), (1, 0), 1)(x, context)
        kept = q.log_prob(*q.sample_with_intermediates(rng_key, (10,)))
        return x, log_q, kept, q.log_prob(x), one

    with jax.enable_x64(True):
        context = jnp.linspace(-1.0, 1.0, 8).reshape(4, 2)
        x, log_q, kept, again, one = draw(shake(flow), jax.random.key(0), context)
        assert x.shape == (10, 4, 3)
        np.testing.assert_array_equal(log_q, kept)
        np.testing.assert_allclose(again, log_q, atol=1e-8)
        np.testing.assert_allclose(one, log_q, atol=1e-8)


@every_kind
def test_far_outside_of_the_box_everything_is_finite(kind):
    flow = kind(2, 1, **SMALL)  # behind the spline there is the affine map as well
    params = shake(flow, 0.3)
    far = jnp.array([0.0, 5.0, -5.0, 1e3, -1e6, 1e10])
    x = jnp.stack(jnp.meshgrid(far, far), -1).reshape(-1, 2)

    def total(params, x, context):
        e, log_slope = flow.pull(params, x, context)
        y, log_slope_push = flow.push(params, x, context)
        # Values themselves may be as large as their squares are infinite.
        return jnp.sum(jnp.tanh(e) + jnp.tanh(y)) + jnp.sum(log_slope + log_slope_push)

    values = jax.jit(jax.value_and_grad(total, (0, 1, 2)))(params, x, jnp.full((36, 1), 30.0))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(values))


def test_a_spline_without_width_is_still_a_map():
    """Raw numbers as a network gives that has gone astray."""
    flow = CouplingFlow(1, **SMALL)
    params = jax.tree.map(lambda leaf: 100.0 * leaf, shake(flow, 1.0))
    e = jnp.linspace(-6.0, 6.0, 101)[:, None]
    for move in (flow.push, flow.pull):
        value, log_slope = jax.jit(move)(params, e)
        assert np.isfinite(value).all()
        assert np.isfinite(log_slope).all()
        assert (np.diff(value[:, 0]) >= 0).all()


@every_kind
def test_a_banana_is_learned_by_maximum_likelihood(kind):
    """The mean of -log q over draws comes down to the entropy, known in closed form."""
    flow = kind(2, num_layers=4, hidden=(32,))
    noise = jax.random.normal(jax.random.key(0), (2, 20_000, 2))
    train_set, test_set = jnp.stack([noise[..., 0], noise[..., 0] ** 2 + 0.3 * noise[..., 1]], -1)

    def loss(params, rng_key):
        rows = jax.random.randint(rng_key, (256,), 0, len(train_set))
        return -flow(params).log_prob(train_set[rows]).mean()

    params = train(loss, flow.init(jax.random.key(1)), 300)
    log_p = stats.norm.logpdf(np.asarray(noise[1], float)).sum(-1) - np.log(0.3)
    log_q = np.asarray(jax.jit(lambda x: flow(params).log_prob(x))(test_set))
    assert np.mean(log_p - log_q) < 0.05


@every_kind
def test_a_conditional_gaussian_is_learned(kind):
    """From joint draws of ``x ~ N(0, I), y = a x + noise`` the posterior of x given y."""
    slopes, sd = np.array([1.0, -2.0]), 0.5
    precision = np.eye(2) + np.outer(slopes, slopes) / sd**2
    covariance = np.linalg.inv(precision)

    def simulate(rng_key, count):
        first, second = jax.random.split(rng_key)
        x = jax.random.normal(first, (count, 2))
        return x, x @ slopes[:, None] + sd * jax.random.normal(second, (count, 1))

    flow = kind(2, 1, num_layers=4, hidden=(32,))

    def loss(params, rng_key):
        x, y = simulate(rng_key, 256)
        return -flow(params, y).log_prob(x).mean()

    params = train(loss, flow.init(jax.random.key(1)), 300)
    x, y = simulate(jax.random.key(9), 5000)
    means = np.asarray(y) @ (slopes / sd**2)[None] @ covariance
    log_p = stats.multivariate_normal(np.zeros(2), covariance).logpdf(np.asarray(x) - means)
    log_q = np.asarray(jax.jit(lambda x, y: flow(params, y).log_prob(x))(x, y))
    assert np.mean(log_p - log_q) < 0.03


def test_a_flow_is_a_site_of_the_host():
    """In a model as a prior, and in a guide under both bounds, whose gradients differ by noise."""
    flow = CouplingFlow(2, transform="affine", **SMALL)
    start = shake(flow)

    def model():
        numpyro.sample("x", flow(start))

    def guide():
        numpyro.sample("x", flow(numpyro.param("flow", start)))

    for loss in (StickTheLanding(), numpyro.infer.Trace_ELBO(num_particles=4)):
        program = jax.value_and_grad(
            lambda params, loss=loss: loss.loss(jax.random.key(0), params, model, guide)
        )
        value, gradient = jax.jit(program)({"flow": start})
        assert float(value) == pytest.approx(0.0, abs=1e-4)
        largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradient))
        # At the posterior itself a path has no gradient; the score has one.
        assert largest < 1e-3 if isinstance(loss, StickTheLanding) else largest > 1e-2
    run = numpyro.infer.SVI(model, guide, optax.adam(1e-3), StickTheLanding()).run(
        jax.random.key(0), 3, progress_bar=False
    )
    assert np.isfinite(run.losses).all()
    batch = dist.Independent(flow(start).expand((3,)), 1)
    assert batch.sample(jax.random.key(1), (4,)).shape == (4, 3, 2)


@every_kind
def test_bad_arguments(kind):
    name = kind.__name__
    for options in ({"transform": "cubic"}, {"bound": 0.0}, {"num_bins": 0}, {"hidden": (0,)}):
        with pytest.raises(ValueError, match=f"{name}: {next(iter(options))}.*expected"):
            kind(2, **options)
    with pytest.raises(ValueError, match=f"{name}: dim.*expected"):
        kind(0)
    with pytest.raises(ValueError, match=f"{name}: context_dim = -1.*expected"):
        kind(2, -1)
    flow = kind(2, 3)
    params = flow.init(jax.random.key(0))
    with pytest.raises(ValueError, match=f"{name}: the context is missing.*context"):
        flow(params)
    with pytest.raises(ValueError, match=rf"{name}: the context is of shape \(4,\)"):
        flow(params, jnp.zeros(4))


def test_flows_of_the_same_arguments_are_equal():
    assert CouplingFlow(2, hidden=[8]) == CouplingFlow(2, hidden=(8,))
    assert hash(CouplingFlow(2)) == hash(CouplingFlow(2))
    assert CouplingFlow(2) != CouplingFlow(3)
    assert CouplingFlow(2) != AutoregressiveFlow(2, num_layers=6)
