"""What only NumPyro asks of guides; the rest is in ``tests/rooms/test_guide_contract.py``."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.infer import SVI, Predictive, Trace_ELBO
from numpyro.infer.autoguide import AutoNormal

import ppl_ext.numpyro as px
from ppl_ext.numpyro import AutoFullRank, AutoMeanField
from ppl_ext.numpyro.guides.guide_call import call_guide
from ppl_ext.numpyro.tracing.bound_model import bind_model
from tests.numpyro.models import X, Y, regression
from tests.rooms.guide_rows import ROWS

GUIDES = [getattr(px, row.name) for row in ROWS if "numpyro" in row.hosts]


@pytest.mark.parametrize("make", GUIDES)
def test_draws_have_the_deterministic_sites_too(make):
    guide = make(regression)
    params = guide.setup(jax.random.key(0), X, Y)
    draws = Predictive(guide, params=params, num_samples=20)(jax.random.key(1), X, Y)
    assert draws["b"].shape == (20, 2)
    draws = guide.sample_posterior(jax.random.key(1), params, sample_shape=(20,))
    np.testing.assert_allclose(
        draws["mean"],
        draws["b"] @ X[:, :2].T + draws["c"][:, None] * X[:, 2],
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("make", GUIDES)
def test_every_key_starts_elsewhere(make):
    # The host's guides keep the start of their first call (three keys, one start).
    guide = make(regression)
    svi = SVI(regression, guide, optax.adam(0.1), Trace_ELBO())
    starts = [
        guide.gaussian(svi.get_params(svi.init(jax.random.key(i), X, Y)))[0] for i in range(3)
    ]
    assert np.abs(starts[0] - starts[1]).min() > 1e-3
    assert np.abs(starts[0] - starts[2]).min() > 1e-3
    again = guide.gaussian(svi.get_params(svi.init(jax.random.key(0), X, Y)))[0]
    np.testing.assert_array_equal(again, starts[0])


@pytest.mark.parametrize("make", GUIDES)
def test_a_first_call_under_jit_leaks_nothing(make):
    guide = make(regression)
    svi = SVI(regression, guide, optax.adam(0.1), Trace_ELBO())

    @jax.jit
    def init(rng_key, x, y):
        return svi.optim.get_params(svi.init(rng_key, x, y).optim_state)

    with jax.checking_leaks():
        init(jax.random.key(0), X, Y)
    state = svi.init(jax.random.key(1), X, Y)
    state, loss = jax.jit(svi.update)(state, X, Y)
    assert np.isfinite(loss)
    params = svi.get_params(state)
    assert list(guide.sample_posterior(jax.random.key(0), params)) == ["b", "c"]
    assert list(guide.sample_posterior(jax.random.key(0), params, X)) == ["b", "c", "mean"]


@pytest.mark.parametrize("make", GUIDES)
def test_parameters_outlive_their_guide(make):
    trained = make(regression)
    params = trained.setup(jax.random.key(0), X, Y)
    fresh = make(regression)
    with pytest.raises(RuntimeError, match=r"guide.setup\(rng_key"):
        fresh.median(params)
    fresh.setup(jax.random.key(5), X, Y)
    for name, value in trained.median(params).items():
        np.testing.assert_array_equal(fresh.median(params)[name], value)
    unpickled = pickle.loads(pickle.dumps(trained))
    np.testing.assert_array_equal(unpickled.median(params)["b"], trained.median(params)["b"])


def test_scan_sites_are_followed():
    from numpyro.contrib.control_flow import scan

    def walk(y):
        def step(x, y_t):
            x = numpyro.sample("x", dist.Normal(x, 1.0))
            numpyro.sample("y", dist.Normal(x, 0.5), obs=y_t)
            return x, None

        scan(step, 0.0, y)

    y = jnp.array([0.5, 1.0, 2.0])
    guide = AutoFullRank(walk)
    svi = SVI(walk, guide, optax.adam(0.02), Trace_ELBO(num_particles=8))
    params = svi.run(jax.random.key(0), 1500, y, progress_bar=False).params
    precision = 4 * np.eye(3) + np.diag([2.0, 2.0, 1.0]) - np.eye(3, k=1) - np.eye(3, k=-1)
    np.testing.assert_allclose(
        guide.median(params)["x"], np.linalg.solve(precision, 4 * y), atol=0.08
    )


@pytest.mark.parametrize("make", GUIDES)
def test_no_finite_start(make):
    def nowhere(y):
        x = numpyro.sample("x", dist.Normal(0, 1))
        numpyro.sample("y", dist.Normal(x, 1), obs=y)

    message = f"{make.__name__}: none of the starting points.*site 'y' is"
    with pytest.raises(ValueError, match=message):
        make(nowhere).setup(jax.random.key(0), np.nan)


def test_a_guide_of_the_users_own_is_not_taken_for_ours():
    class Own(AutoNormal):
        settings = (1, 2)

    bound = bind_model("fit", regression, (X, Y), {})
    assert call_guide(bound, AutoMeanField(regression)).may_be_traced
    assert not call_guide(bound, Own(regression)).may_be_traced
    # Guides of ours with equal settings share programs; one that its host changes does not.
    assert call_guide(bound, AutoMeanField(regression)) == call_guide(
        bound, AutoMeanField(regression)
    )
    assert call_guide(bound, Own(regression)) != call_guide(bound, Own(regression))
    assert call_guide(bound, AutoMeanField(regression)) != call_guide(
        bound, AutoMeanField(regression, init_scale=0.2)
    )
