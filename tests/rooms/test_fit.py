"""``fit`` against a posterior in closed form."""

from importlib import import_module

import numpy as np
import pytest

from ppl_ext.fitting import loop
from ppl_ext.gaussian_vi import solve
from tests.oracles import regression as truth

DRAWS = 20_000
MEAN_ERROR = 4 * truth.SD / np.sqrt(DRAWS)  # false alarm: below one in 5,000 for three means


def test_full_rank_is_exact(host, full_rank):
    draws = host.random(full_rank.draws, DRAWS)
    values = draws.values["b"]
    assert values.shape == (DRAWS, 3)
    assert np.all(np.abs(values.mean(0) - truth.MEAN) < MEAN_ERROR + 0.02 * truth.SD)
    np.testing.assert_allclose(np.cov(values.T), truth.COVARIANCE, rtol=0.05, atol=1e-3)
    np.testing.assert_allclose(values @ truth.X.T, draws.values["mean"], atol=1e-4)
    # At the exact posterior every draw weighs the same: the evidence.
    np.testing.assert_allclose(draws.log_weights, truth.LOG_EVIDENCE, atol=0.05)


def test_an_exact_fit_is_called_good(full_rank):
    report = full_rank.report()
    assert report.ok
    assert report.resampled_ok
    assert report.ess > 0.99 * report.num_draws
    assert report.elbo == pytest.approx(truth.LOG_EVIDENCE, abs=0.01)
    assert report.log_evidence == pytest.approx(truth.LOG_EVIDENCE, abs=0.01)
    assert full_rank.report() is report
    assert "good" in str(report)


def test_mean_field_finds_its_known_optimum(host, mean_field):
    values = host.random(mean_field.draws, DRAWS).values["b"]
    assert np.all(np.abs(values.mean(0) - truth.MEAN) < MEAN_ERROR + 0.02 * truth.SD)
    np.testing.assert_allclose(values.std(0), truth.MEAN_FIELD_SD, rtol=0.03)
    report = mean_field.report()
    assert report.elbo == pytest.approx(truth.MEAN_FIELD_ELBO, abs=0.05)
    assert not report.ok  # its sds are less than half as wide as they should be


def test_linear_response_repairs_the_sds(host, mean_field):
    repaired = mean_field.linear_response()
    values = host.random(repaired.draws, DRAWS).values["b"]
    np.testing.assert_allclose(np.cov(values.T), truth.COVARIANCE, rtol=0.1, atol=1e-3)


def test_same_seed_same_answer(host, linear, full_rank):
    again = host.random(
        host.room.fit, linear.model, host.room.AutoFullRank(linear.model), linear.x, y=linear.y
    )
    np.testing.assert_array_equal(again.solution.loc, full_rank.solution.loc)
    first, second = (host.random(each.draws, 10, seed=3) for each in (full_rank, again))
    np.testing.assert_array_equal(first.values["b"], second.values["b"])


def test_no_guide_is_full_rank(host, linear):
    fit = host.random(host.room.fit, linear.model, None, linear.x, y=linear.y)
    assert isinstance(fit.guide, host.room.AutoFullRank)


@pytest.mark.parametrize("wanted", [True, False])
def test_a_deterministic_fit_shows_its_progress(host, linear, monkeypatch, wanted):
    asked = []

    def open_bar(total, progress_bar, *args, **kwargs):
        asked.append(progress_bar)
        return loop.open_bar(total, False, *args, **kwargs)

    monkeypatch.setattr(solve, "open_bar", open_bar)
    guide = host.room.AutoMeanField(linear.model)
    host.random(host.room.fit, linear.model, guide, linear.x, y=linear.y, progress_bar=wanted)
    assert asked == [wanted]


def test_stochastic_reaches_the_posterior(host, linear):
    fit = host.random(
        host.room.fit,
        linear.model,
        host.room.AutoFullRank(linear.model),
        linear.x,
        y=linear.y,
        optimizer=host.room.Stochastic(),
        restarts=1,
    )
    values = host.random(fit.draws, DRAWS).values["b"]
    assert np.all(np.abs(values.mean(0) - truth.MEAN) < 0.1 * truth.SD)
    np.testing.assert_allclose(values.std(0), truth.SD, rtol=0.1)
    assert fit.report().ok


def test_a_point_estimate_is_not_trusted(host, linear):
    fit = host.random(
        host.room.fit,
        linear.model,
        import_module(f"{host.name}.infer.autoguide").AutoDelta(linear.model),
        linear.x,
        y=linear.y,
        optimizer=host.room.Stochastic(max_steps=200, trial_steps=100),
        restarts=1,
    )
    report = fit.report()
    assert report.verdict == "not to be trusted"
    assert "'b' at one point" in report.advice


def test_a_saved_fit_comes_back(host, linear, full_rank, tmp_path):
    full_rank.save(tmp_path / "fit.safetensors")
    loaded = host.room.load(tmp_path / "fit.safetensors", linear.model, linear.x, y=linear.y)
    before, after = (host.random(each.draws, 10, seed=5) for each in (full_rank, loaded))
    np.testing.assert_array_equal(before.values["b"], after.values["b"])
    np.testing.assert_array_equal(before.log_q, after.log_q)
    assert loaded.log.reason == full_rank.log.reason
