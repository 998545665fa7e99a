"""Stick the landing: nothing at the optimum, unbiased elsewhere, refusals by name."""

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.infer import Trace_ELBO
from numpyro.infer.autoguide import AutoBNAFNormal, AutoDelta, AutoIAFNormal

from ppl_ext.numpyro import AutoFullRank, AutoMeanField, StickTheLanding
from tests.numpyro.models import X, Y, regression, regression_posterior


def gradients(loss, params, model, guide, draws, *args):
    def one(rng_key, params):
        return loss.loss(rng_key, params, model, guide, *args)

    keys = jax.random.split(jax.random.key(3), draws)
    run = jax.jit(jax.vmap(jax.value_and_grad(one, argnums=1), in_axes=(0, None)))
    return jax.tree.map(np.asarray, run(keys, params))


def test_every_draw_is_zero_at_the_posterior():
    mean, covariance, log_evidence = regression_posterior()
    with jax.enable_x64(True):
        guide = AutoFullRank(regression)
        guide.setup(jax.random.key(0), X, Y)
        params = guide.set_gaussian(mean, np.linalg.cholesky(covariance))
        loss, gradient = gradients(StickTheLanding(), params, regression, guide, 200, X, Y)
        _, noisy = gradients(Trace_ELBO(), params, regression, guide, 200, X, Y)
    np.testing.assert_allclose(loss, -log_evidence, rtol=1e-12)
    assert max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(gradient)) < 1e-10
    assert max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(noisy)) > 1


@pytest.mark.parametrize("particles", [1, 3])
def test_values_are_the_hosts_and_gradients_unbiased(particles):
    def model():
        scale = numpyro.sample("scale", dist.Gamma(3.0, 2.0))
        with numpyro.plate("two", 2):
            numpyro.sample("p", dist.Beta(2.0, scale))

    with jax.enable_x64(True):
        guide = AutoMeanField(model, init_scale=0.4)
        params = guide.setup(jax.random.key(0))
        ours, ours_gradient = gradients(StickTheLanding(particles), params, model, guide, 4000)
        host, host_gradient = gradients(Trace_ELBO(particles), params, model, guide, 4000)
    np.testing.assert_allclose(ours, host, rtol=1e-9)
    for name in params:
        difference = (ours_gradient[name] - host_gradient[name]).reshape(4000, -1)
        error = difference.std(axis=0) / np.sqrt(4000)
        # Six coordinates at five standard errors: a false alarm in a million.
        assert (np.abs(difference.mean(axis=0)) < 5 * error).all()


def test_gradients_of_a_flow_are_unbiased():
    # A flow hides its parameters in a closure; its way back has to be taken through an inverse.
    def model():
        numpyro.sample("x", dist.Normal(np.ones(2), 2.0).to_event(1))

    with jax.enable_x64(True):
        guide = AutoIAFNormal(model, num_flows=1, hidden_dims=[2])
        svi = numpyro.infer.SVI(model, guide, numpyro.optim.Adam(0.01), StickTheLanding())
        params = svi.get_params(svi.init(jax.random.key(0)))
        ours, ours_gradient = gradients(StickTheLanding(), params, model, guide, 4000)
        host, host_gradient = gradients(Trace_ELBO(), params, model, guide, 4000)
    np.testing.assert_allclose(ours, host, rtol=1e-6)
    ours_gradient, host_gradient = (
        np.concatenate([leaf.reshape(4000, -1) for leaf in jax.tree.leaves(gradient)], axis=1)
        for gradient in (ours_gradient, host_gradient)
    )
    difference = ours_gradient - host_gradient
    error = difference.std(axis=0) / np.sqrt(4000)
    assert (np.abs(difference.mean(axis=0)) <= 5 * error + 1e-12).all()
    assert np.abs(difference).max() > 0.01


def test_constrained_sites_reach_zero_too():
    def model():
        numpyro.sample("x", dist.LogNormal(0.3, 0.7))

    with jax.enable_x64(True):
        guide = AutoMeanField(model)
        guide.setup(jax.random.key(0))
        params = guide.set_gaussian([0.3], [0.7])
        loss, gradient = gradients(StickTheLanding(), params, model, guide, 100)
    np.testing.assert_allclose(loss, 0, atol=1e-12)
    for leaf in gradient.values():
        np.testing.assert_allclose(leaf, 0, atol=1e-10)


def test_a_chain_of_sites_keeps_the_path_through_upstream_values():
    def model():
        a = numpyro.sample("a", dist.Normal(0.0, 1.0))
        numpyro.sample("b", dist.Normal(a, 1.0))

    def guide():
        a = numpyro.sample("a", dist.Normal(numpyro.param("m", 0.0), numpyro.param("s", 1.0)))
        numpyro.sample("b", dist.Normal(a * numpyro.param("k", 1.0), 1.0))

    params = {"m": 0.0, "s": 1.0, "k": 1.0}
    _, gradient = gradients(StickTheLanding(), params, model, guide, 50)
    for leaf in gradient.values():
        np.testing.assert_allclose(leaf, 0, atol=1e-6)


def test_point_estimates_are_followed():
    guide = AutoDelta(regression)
    svi = numpyro.infer.SVI(regression, guide, numpyro.optim.Adam(0.01), StickTheLanding())
    state = svi.init(jax.random.key(0), X, Y)
    _, loss = jax.jit(svi.update)(state, X, Y)
    assert np.isfinite(loss)


def test_what_cannot_be_done_is_refused_by_name():
    def model():
        numpyro.sample("z", dist.Bernoulli(0.5))

    def guide():
        numpyro.sample("z", dist.Bernoulli(numpyro.param("p", 0.3)))

    with pytest.raises(ValueError, match=r"guide site 'z' .*Bernoulli.*TraceGraph_ELBO"):
        StickTheLanding().loss(jax.random.key(0), {"p": 0.3}, model, guide)
    flow = AutoBNAFNormal(regression, hidden_factors=[2])
    svi = numpyro.infer.SVI(regression, flow, numpyro.optim.Adam(0.01), StickTheLanding())
    state = svi.init(jax.random.key(0), X, Y)
    with pytest.raises(ValueError, match=r"'_auto_latent'.*without an inverse.*Trace_ELBO"):
        jax.eval_shape(svi.update, state, X, Y)
