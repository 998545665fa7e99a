"""``fit`` against a posterior in closed form."""

import functools
import itertools
import random
from importlib import import_module

import numpy as np
import pytest

from ppl_ext.fitting import loop
from ppl_ext.gaussian_vi import solve
from tests.oracles import regression as truth

DRAWS = 20_000
MEAN_ERROR = 4 * truth.SD / np.sqrt(DRAWS)  # false alarm: below one in 5,000 for three means


def global_state(host):
    """What a fit must not touch, in words that can be compared."""
    owner = "torch" if host.name == "pyro" else host.name
    validation = import_module(f"{owner}.distributions").Distribution._validate_args
    state = [np.random.get_state()[1].tolist(), random.getstate(), validation]
    if host.name == "pyro":
        torch = host.math
        return [
            *state,
            host.ppl.distributions.is_validation_enabled(),
            {k: v.tolist() for k, v in host.ppl.get_param_store().items()},
            torch.random.get_rng_state().tolist(),
            torch.get_default_dtype(),
            torch.get_num_threads(),
            torch.is_grad_enabled(),
            repr(host.ppl.settings.get()),
        ]
    jax = import_module("jax")
    return [
        *state,
        jax.config.jax_enable_x64,
        host.math.ones(1).dtype,
        list(host.ppl.primitives._PYRO_STACK),
    ]


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
    np.testing.assert_allclose(full_rank.solution.loc, truth.MEAN, atol=1e-3)
    assert full_rank.log.converged
    report = full_rank.report()
    assert report.ok
    assert report.resampled_ok
    assert report.ess > 0.99 * report.details.num_draws
    assert report.elbo == pytest.approx(truth.LOG_EVIDENCE, abs=0.01)
    assert report.details.log_evidence == pytest.approx(truth.LOG_EVIDENCE, abs=0.01)
    assert full_rank.report() is report
    assert "good" in str(report)


def test_mean_field_finds_its_known_optimum(host, mean_field):
    values = host.random(mean_field.draws, DRAWS).values["b"]
    assert np.all(np.abs(values.mean(0) - truth.MEAN) < MEAN_ERROR + 0.02 * truth.SD)
    np.testing.assert_allclose(values.std(0), truth.MEAN_FIELD_SD, rtol=0.03)
    np.testing.assert_allclose(mean_field.solution.scale, truth.MEAN_FIELD_SD, rtol=1e-2)
    report = mean_field.report()
    assert report.elbo == pytest.approx(truth.MEAN_FIELD_ELBO, abs=0.05)
    assert not report.ok  # its sds are less than half as wide as they should be


def test_linear_response_repairs_the_sds(host, mean_field):
    repaired = mean_field.linear_response()
    values = host.random(repaired.draws, DRAWS).values["b"]
    np.testing.assert_allclose(np.cov(values.T), truth.COVARIANCE, rtol=0.1, atol=1e-3)
    np.testing.assert_array_equal(repaired.solution.loc, mean_field.solution.loc)
    # On a Gaussian posterior its ELBO is the evidence, and not that of the mean-field fit.
    assert repaired.solution.elbo == pytest.approx(truth.LOG_EVIDENCE, abs=0.05)
    with pytest.raises(ValueError, match="full rank"):
        repaired.linear_response()


def test_same_seed_same_answer(host, linear, full_rank):
    again = host.random(
        host.room.fit, linear.model, linear.x, y=linear.y, guide=host.room.AutoFullRank
    )
    np.testing.assert_array_equal(again.solution.loc, full_rank.solution.loc)
    np.testing.assert_array_equal(again.solution.scale, full_rank.solution.scale)
    first, second = (host.random(each.draws, 10, seed=3) for each in (full_rank, again))
    np.testing.assert_array_equal(first.values["b"], second.values["b"])
    other = host.random(full_rank.draws, 10, seed=4)
    assert not np.isclose(other.values["b"], first.values["b"]).any()


def test_more_than_a_thousand_dimensions_get_a_mean_field_guide(host):
    def model():
        host.ppl.sample("x", host.dist.Normal(host.math.zeros(1001), 2.0).to_event(1))

    settings = host.room.Deterministic(num_draws=16, max_draws=16, num_starts=1)
    fit = host.random(host.room.fit, model, optimizer=settings, climb=False)
    assert isinstance(fit.guide, host.room.AutoMeanField)
    np.testing.assert_allclose(fit.solution.scale, 2.0, rtol=1e-3)


@pytest.mark.parametrize("stochastic", [False, True])
def test_global_state_is_left_alone(host, linear, stochastic):
    before = global_state(host)
    settings = host.room.Stochastic(max_steps=50, trial_steps=10) if stochastic else None
    fit = host.random(
        host.room.fit,
        linear.model,
        linear.x,
        y=linear.y,
        guide=host.room.AutoMeanField,
        optimizer=settings,
        num_starts=2,
    )
    host.random(fit.draws, 10, posterior_predictive=True)
    fit.report()
    assert global_state(host) == before


def test_no_guide_is_full_rank(host, linear):
    fit = host.random(host.room.fit, linear.model, linear.x, y=linear.y, climb=False)
    assert isinstance(fit.guide, host.room.AutoFullRank)


@pytest.mark.parametrize("wanted", [True, False])
def test_a_deterministic_fit_shows_its_progress(host, linear, monkeypatch, wanted):
    asked = []

    def open_bar(total, progress_bar, *args, **kwargs):
        asked.append(progress_bar)
        return loop.open_bar(total, False, *args, **kwargs)

    monkeypatch.setattr(solve, "open_bar", open_bar)
    host.random(
        host.room.fit,
        linear.model,
        linear.x,
        y=linear.y,
        guide=host.room.AutoMeanField,
        progress_bar=wanted,
    )
    assert asked == [wanted]


def test_stochastic_reaches_the_posterior(host, linear):
    fit = host.random(
        host.room.fit,
        linear.model,
        linear.x,
        y=linear.y,
        guide=host.room.AutoFullRank(linear.model),
        optimizer=host.room.Stochastic(),
        num_starts=1,
    )
    values = host.random(fit.draws, DRAWS).values["b"]
    assert np.all(np.abs(values.mean(0) - truth.MEAN) < 0.1 * truth.SD)
    np.testing.assert_allclose(values.std(0), truth.SD, rtol=0.1)
    assert fit.report().ok


def test_phases_share_the_steps_where_no_plateau_is_found(host, linear):
    fit = host.random(
        host.room.fit,
        linear.model,
        linear.x,
        y=linear.y,
        guide=host.room.AutoMeanField,
        optimizer=host.room.Stochastic(max_steps=30, rule=lambda losses: None),
        num_starts=1,
    )
    assert fit.log.plateaus == (10, 20)
    assert len(fit.log.losses) == 30
    assert not fit.log.converged


@pytest.mark.parametrize("when", [0, 2, 12])
def test_interruption_keeps_what_was_reached(host, linear, monkeypatch, when):
    module = import_module(f"ppl_ext.{host.name}.fitting.stochastic_fit")
    made = itertools.count()

    def drive(advance, **settings):
        def interrupted(steps):
            if next(made) == when:
                raise KeyboardInterrupt
            return advance(steps)

        return loop.drive(interrupted, **settings)

    monkeypatch.setattr(module, "drive", drive)
    fit = host.random(
        host.room.fit,
        linear.model,
        linear.x,
        y=linear.y,
        guide=host.room.AutoFullRank,
        optimizer=host.room.Stochastic(max_steps=600, trial_steps=20),
        num_starts=2,
    )
    assert fit.log.interrupted
    assert not fit.log.converged
    assert len(fit.log.losses) < 600
    if when <= 2:  # in the first trial, whose steps are then all that were made
        assert len(fit.log.losses) == fit.log.gradients == 6 * when
    assert np.isfinite(host.random(fit.draws, 10).log_weights).all()


def test_divergence_names_step_and_site(host):
    def cliff(y):
        x = host.ppl.sample("x", host.dist.Normal(0.0, 1.0))
        # A square root whose argument leaves its domain once x has learnt that it should be large.
        mean = host.math.sqrt(3.0 - x)
        host.ppl.sample("y", host.dist.Normal(mean, 1.0, validate_args=False), obs=y)

    with pytest.raises(FloatingPointError, match=r"at step \d+: .*'(y|x)'"):
        host.random(
            host.room.fit,
            cliff,
            host.array(np.full(50, -5.0)),
            guide=host.room.AutoMeanField(cliff, init_scale=0.5),
            optimizer=host.room.Stochastic(max_steps=2000, trial_steps=100),
            num_starts=1,
        )


def test_draws_need_a_model_that_can_see_all_rows(host):
    def model(size, batch):
        x = host.ppl.sample("x", host.dist.Normal(0.0, 1.0))
        with host.ppl.plate("row", size, subsample_size=len(batch)):
            host.ppl.sample("y", host.dist.Normal(x, 1.0), obs=batch)

    fit = host.random(
        host.room.fit,
        model,
        100,
        host.array(np.ones(10)),
        optimizer=host.room.Stochastic(max_steps=200, trial_steps=50),
        num_starts=1,
    )
    assert np.isfinite(fit.log.final_loss)
    with pytest.raises(ValueError, match=r"all rows of the plates \['row'\].*obs=y\[i\]"):
        host.random(fit.draws, 10)


def test_arguments_of_a_partial_are_the_models_alone(host, linear):
    def guide(x, y):
        loc = host.ppl.param("loc", host.array(np.zeros(3)))
        with host.ppl.plate("feature", 3):
            host.ppl.sample("b", host.dist.Normal(loc, 0.1))

    def scaled(sign, x, y):
        linear.model(sign * x, sign * y)

    bound = functools.partial(scaled, -1.0)
    ours = host.random(host.room.fit, bound, linear.x, linear.y, climb=False)
    np.testing.assert_allclose(ours.solution.loc, truth.MEAN, atol=1e-3)
    fit = host.random(
        host.room.fit,
        bound,
        linear.x,
        linear.y,
        guide=guide,
        optimizer=host.room.Stochastic(max_steps=1000, trial_steps=100),
        num_starts=1,
    )
    draws = host.random(fit.draws, 500)
    np.testing.assert_allclose(draws.values["b"].mean(0), truth.MEAN, atol=0.1)


def test_a_fit_tells_what_it_is(host, linear):
    fit = host.random(host.room.fit, linear.model, linear.x, y=linear.y, climb=False)
    told = repr(fit)
    assert "\n" not in told
    assert told == f"Fit(AutoFullRank, ELBO {truth.LOG_EVIDENCE:.2f}, converged)"
    fit.report()
    elbo = f"{fit.report().elbo:.2f}"
    assert repr(fit) == f"Fit(AutoFullRank, good, ELBO {elbo}, converged)"


def test_a_point_estimate_is_not_trusted(host, linear):
    fit = host.random(
        host.room.fit,
        linear.model,
        linear.x,
        y=linear.y,
        guide=import_module(f"{host.name}.infer.autoguide").AutoDelta,
        optimizer=host.room.Stochastic(max_steps=200, trial_steps=100),
        num_starts=1,
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
