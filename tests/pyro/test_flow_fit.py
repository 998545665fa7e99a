"""``fit`` of a flow, on posteriors that no Gaussian follows and whose evidence is known."""

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch

import ppl_ext.pyro as px
from ppl_ext.pyro.flows import CouplingFlow


def banana():
    a = pyro.sample("a", dist.Normal(0.0, 1.0))
    pyro.sample("b", dist.Normal(a**2, 0.3))


@pytest.fixture(scope="module")
def bent():
    """A fit of the banana, whose log evidence is 0."""
    return px.fit(banana, guide=px.AutoFlow, progress_bar=False)


def test_a_banana_is_fitted_to_a_twentieth_of_a_nat(bent):
    report = bent.report()
    assert -0.05 < report.elbo < 0.01
    # Weights so equal have no tail whose shape would mean something.
    assert report.ess > 0.95 * report.details.num_draws
    assert report.verdict in ("good", "good after importance resampling")
    values = bent.draws(20_000, seed=0).values
    assert abs(values["a"].mean()) < 0.05
    assert abs(values["a"].std() - 1) < 0.05
    assert abs(values["b"].mean() - 1) < 0.1
    assert np.std(values["b"] - values["a"] ** 2) == pytest.approx(0.3, abs=0.03)


def test_the_log_tells_of_all_stages(bent):
    log = bent.log
    assert log.converged
    assert log.gradients > 0
    assert len(log.losses)
    notes = "\n".join(log.notes)
    assert "log evidence" in notes
    assert "the Gaussian has" in notes
    assert "ELBO" in notes
    assert repr(bent).startswith("Fit(AutoFlow, ")


def test_draws_carry_both_densities(bent):
    draws = bent.draws(50, seed=1)
    a, b = (torch.as_tensor(draws.values[name]) for name in ("a", "b"))
    log_p = dist.Normal(0.0, 1.0).log_prob(a) + dist.Normal(a**2, 0.3).log_prob(b)
    np.testing.assert_allclose(draws.log_p, log_p, rtol=1e-3, atol=1e-3)
    log_q = bent.guide.log_prob({"a": a, "b": b})
    np.testing.assert_allclose(draws.log_q, log_q, rtol=1e-3, atol=1e-3)
    again = bent.draws(50, seed=1)
    np.testing.assert_array_equal(draws.values["a"], again.values["a"])


def test_a_saved_flow_comes_back(bent, tmp_path):
    bent.save(tmp_path / "flow.safetensors")
    loaded = px.load(tmp_path / "flow.safetensors", banana)
    np.testing.assert_array_equal(loaded.draws(5, seed=0).log_q, bent.draws(5, seed=0).log_q)
    assert loaded.log.reason == bent.log.reason


def test_a_flow_of_ones_own_and_one_coordinate_and_the_random_state(tmp_path):
    """The posterior is the prior, Gamma(0.5, 1), whose logarithm is far from Gaussian."""

    def model():
        pyro.sample("x", dist.Gamma(0.5, 1.0))

    flow = CouplingFlow(1, num_layers=1, num_bins=6)
    guide = px.AutoFlow(model, flow=flow)
    before = torch.get_rng_state()
    fitted = px.fit(model, guide=guide, progress_bar=False)
    assert torch.equal(torch.get_rng_state(), before)
    assert not list(pyro.get_param_store())
    assert -0.05 < fitted.report().elbo < 0.01
    assert fitted.guide is not guide
    fitted.save(tmp_path / "flow.safetensors")
    loaded = px.load(tmp_path / "flow.safetensors", model)
    assert loaded.guide.flow.settings == flow.settings


def test_minibatches_take_the_stochastic_road():
    def model(y):
        loc = pyro.sample("loc", dist.Normal(0.0, 10.0))
        with pyro.plate("row", len(y), subsample_size=4) as rows:
            pyro.sample("y", dist.Normal(loc, 1.0), obs=y[rows])

    settings = px.Stochastic(max_steps=60, trial_steps=20, step_size=0.003)
    fitted = px.fit(
        model, torch.ones(8), guide=px.AutoFlow, optimizer=settings, num_starts=2,
        progress_bar=False,
    )  # fmt: skip
    assert fitted.density is None
    assert len(fitted.log.start_losses) == 2
    assert fitted.draws(20).values["loc"].shape == (20,)


def test_a_gaussian_stays_where_the_posterior_is_one():
    """The flow may not lose what the solver knows: the evidence of a normal model."""

    def model(y):
        mu = pyro.sample("mu", dist.Normal(0.0, 1.0))
        pyro.sample("y", dist.Normal(mu, 1.0), obs=y)

    evidence = dist.Normal(0.0, 2**0.5).log_prob(torch.tensor(1.0)).item()
    fitted = px.fit(model, torch.tensor(1.0), guide=px.AutoFlow, progress_bar=False)
    assert fitted.report().elbo == pytest.approx(evidence, abs=2e-3)
