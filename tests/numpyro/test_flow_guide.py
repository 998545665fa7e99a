"""AutoFlow in `fit`: bounds near the evidence, files, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy import stats

import ppl_ext.numpyro as px


def banana():
    """A density of mass 1, so that the bound of the posterior itself is 0."""
    a = numpyro.sample("a", dist.Normal(0.0, 1.0))
    numpyro.sample("b", dist.Normal(a**2, 0.3))


@pytest.fixture(scope="module")
def fitted():
    flow = px.flows.CouplingFlow(2, num_layers=4, hidden=(16,))
    return px.fit(jax.random.key(0), banana, guide=px.AutoFlow(banana, flow=flow))


def test_the_bound_comes_near_the_evidence(fitted):
    report = fitted.report()
    assert -0.05 < report.elbo < 0.02
    gaussian = px.fit(jax.random.key(0), banana, guide=px.AutoFullRank)
    assert gaussian.report().elbo < -0.3


def test_draws_are_those_of_the_posterior(fitted):
    draws = fitted.draws(jax.random.key(1), 4000)
    a, b = draws.values["a"], draws.values["b"]
    # Of an exact draw both are standard normal.
    for exact in (a, (b - a**2) / 0.3):
        assert abs(exact.mean()) < 0.1
        assert exact.std() == pytest.approx(1.0, abs=0.1)
    log_p = stats.norm.logpdf(a) + stats.norm.logpdf(b, a**2, 0.3)
    np.testing.assert_allclose(draws.log_p, log_p, atol=1e-3)


def test_a_file_gives_the_same_fit_back(fitted, tmp_path):
    path = tmp_path / "fit.safetensors"
    fitted.save(path)
    again = px.load(path, banana)
    key = jax.random.key(2)
    for name, values in fitted.draws(key, 100).values.items():
        np.testing.assert_array_equal(again.draws(key, 100).values[name], values)
    assert again.guide.flow == fitted.guide.flow


def test_one_coordinate_bends_too():
    def skewed():
        numpyro.sample("x", dist.Gumbel(0.0, 1.0))

    # Beside it there is nothing to read: layers and units more would change nothing.
    flow = px.flows.CouplingFlow(1, num_layers=1, hidden=())
    fitted = px.fit(jax.random.key(0), skewed, guide=px.AutoFlow(skewed, flow=flow))
    assert -0.02 < fitted.report().elbo < 0.01


def test_a_flow_has_to_suit_the_model():
    for flow, found in (
        (px.flows.CouplingFlow(3), "dim=3 and context_dim=0"),
        (px.flows.CouplingFlow(2, 1), "dim=2 and context_dim=1"),
    ):
        guide = px.AutoFlow(banana, flow=flow)
        with pytest.raises(ValueError, match=rf"AutoFlow: the flow has {found}.*flow=Coupling"):
            guide.setup(jax.random.key(0))


def small(dim):
    return px.flows.CouplingFlow(dim, transform="affine", num_layers=2, hidden=(8,))


def test_parameters_of_a_model_go_the_stochastic_road(tmp_path):
    """The marginal of the data is N(0, 1 + s^2), whose likelihood is highest at s^2 = 3."""

    def model(y):
        s = numpyro.param("s", 1.0, constraint=dist.constraints.positive)
        x = numpyro.sample("x", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
        numpyro.sample("y", dist.Normal(x, s).to_event(1), obs=y)

    y, guide = np.array([2.0, -2.0]), px.AutoFlow(model, flow=small(2))
    with pytest.raises(ValueError, match="Deterministic was given and the model has parameters"):
        px.fit(jax.random.key(0), model, y, guide=guide, optimizer=px.Deterministic())
    fitted = px.fit(jax.random.key(0), model, y, guide=guide)
    assert any("with a Gaussian guide alone" in note for note in fitted.log.notes)
    assert float(fitted.params["s"]) == pytest.approx(np.sqrt(3.0), rel=0.1)
    fitted.save(tmp_path / "fit.safetensors")
    again = px.load(tmp_path / "fit.safetensors", model, y)
    key = jax.random.key(1)
    np.testing.assert_array_equal(again.draws(key, 50).log_q, fitted.draws(key, 50).log_q)


def test_marked_sites_are_summed_out():
    """Of one datum of a mixture the evidence and the posterior of the component are known."""

    def model(y):
        x = numpyro.sample("x", dist.Normal(jnp.array([-1.0, 1.0]), 0.5).to_event(1))
        k = numpyro.sample("k", dist.Categorical(jnp.ones(2) / 2), infer={"enumerate": "parallel"})
        numpyro.sample("y", dist.Normal(x[k], 0.5), obs=y)

    guide = px.AutoFlow(model, flow=small(2))
    fitted = px.fit(jax.random.key(0), model, 0.5, guide=guide)
    parts = 0.5 * stats.norm.pdf(0.5, [-1.0, 1.0], np.sqrt(0.5))
    assert np.log(parts.sum()) - 0.1 < fitted.report().elbo < np.log(parts.sum()) + 0.01
    draws = fitted.draws(jax.random.key(1), 4000).resample(0)
    assert draws.values["k"].mean() == pytest.approx(parts[1] / parts.sum(), abs=0.03)
