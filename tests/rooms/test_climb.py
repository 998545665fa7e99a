"""``fit`` without a guide goes on until its draws can be used."""

from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import integrate, stats

from ppl_ext.correction import Correction, solve
from ppl_ext.draws import estimate_loo
from tests.oracles import regression as truth

EFFECT = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERROR = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
SAMPLING = "sequential Monte Carlo"


def log_evidence_of_schools():
    """By quadrature over tau: given it the effects are jointly normal."""

    def joint(tau):
        covariance = np.diag(ERROR**2 + tau**2) + 5.0**2
        marginal = stats.multivariate_normal.pdf(EFFECT, np.zeros(8), covariance)
        return marginal * stats.halfcauchy.pdf(tau, scale=5)

    return np.log(integrate.quad(joint, 0, np.inf, epsabs=0, epsrel=1e-8)[0])


@pytest.fixture(scope="module")
def schools(host):
    """Eight schools as everybody writes them first, and the fit."""
    ppl, dist = host.ppl, host.dist

    def model(error, effect):
        mu = ppl.sample("mu", dist.Normal(0.0, 5.0))
        tau = ppl.sample("tau", dist.HalfCauchy(5.0))
        with ppl.plate("school", 8):
            theta = ppl.sample("theta", dist.Normal(mu, tau))
            ppl.deterministic("twice", 2 * theta)
            ppl.sample("effect", dist.Normal(theta, error), obs=effect)

    data = host.array(ERROR), host.array(EFFECT)
    fit = host.random(host.room.fit, model, *data, progress_bar=False)
    return SimpleNamespace(model=model, data=data, fit=fit)


@pytest.fixture(scope="module")
def bent(host):
    """A banana that no change of scale makes straight, rows beside it, and the fit."""
    ppl, dist = host.ppl, host.dist

    def model(error, effect):
        mu = ppl.sample("mu", dist.Normal(0.0, 1.0))
        bend = ppl.sample("bend", dist.Normal(0.0, 1.0))
        ppl.sample("seen", dist.Normal(mu + bend**2, 0.25), obs=host.array(np.array(1.0)))
        with ppl.plate("school", 8):
            theta = ppl.sample("theta", dist.Normal(0.0, 1.0))
            ppl.deterministic("twice", 2 * theta)
            ppl.sample("effect", dist.Normal(mu + theta, error), obs=effect)

    data = host.array(ERROR), host.array(EFFECT)
    fit = host.random(host.room.fit, model, *data, progress_bar=False)
    return SimpleNamespace(model=model, data=data, fit=fit)


def log_evidence_of_the_bent():
    mu, bend = np.linspace(-6, 6, 1201)[:, None], np.linspace(-5, 5, 1201)
    rows = stats.norm.pdf(EFFECT, mu[..., None], np.sqrt(1 + ERROR**2)).prod(-1)
    joint = stats.norm.pdf(1.0, mu + bend**2, 0.25) * stats.norm.pdf(mu) * stats.norm.pdf(bend)
    return np.log(np.trapezoid(np.trapezoid(rows * joint, bend), mu[:, 0]))


@pytest.fixture(scope="module")
def square(host):
    """A model of two modes, of which one Gaussian sees one, and its data."""
    ppl, dist = host.ppl, host.dist

    def model(y):
        x = ppl.sample("x", dist.Normal(0.0, 2.0))
        ppl.sample("y", dist.Normal(x**2, 0.5), obs=y)

    return SimpleNamespace(model=model, y=host.array(np.array(4.0)))


def test_a_gaussian_posterior_is_reached_at_once(host, linear):
    fit = host.random(host.room.fit, linear.model, linear.x, y=linear.y, progress_bar=False)
    (step,) = fit.climb.steps
    assert (step.name, str(step.verdict)) == ("full rank", "good")
    assert step.gradients == fit.log.gradients
    values = host.random(fit.draws, 20_000).values["b"]
    assert np.all(np.abs(values.mean(0) - truth.MEAN) < 0.05 * truth.SD)
    np.testing.assert_allclose(np.cov(values.T), truth.COVARIANCE, rtol=0.05, atol=1e-3)


def test_a_named_guide_and_climb_false_do_not_climb(host, linear, full_rank):
    plain = host.random(
        host.room.fit, linear.model, linear.x, y=linear.y, climb=False, progress_bar=False
    )
    assert full_rank.climb is None
    assert plain.climb is None
    np.testing.assert_array_equal(plain.solution.loc, full_rank.solution.loc)
    first, second = (host.random(each.draws, 10, seed=1) for each in (plain, full_rank))
    np.testing.assert_array_equal(first.values["b"], second.values["b"])
    assert not first.resampled


def test_a_skewed_posterior_is_resampled(host):
    """No event where the rate has an exponential prior: an exponential posterior of rate 2."""
    ppl, dist = host.ppl, host.dist

    def model(y):
        rate = ppl.sample("rate", dist.Gamma(1.0, 1.0))
        with ppl.plate("row", 1):
            ppl.sample("y", dist.Poisson(rate), obs=y)

    fit = host.random(host.room.fit, model, host.array(np.zeros(1)), progress_bar=False)
    assert [step.name for step in fit.climb.steps] == ["full rank", "importance resampling"]
    assert fit.report().ok
    assert fit.report().details.log_evidence == pytest.approx(np.log(0.5), abs=0.02)
    draws = host.random(fit.draws, 20_000, posterior_predictive=True)
    assert draws.resampled
    rate = draws.values["rate"]
    for level in (0.05, 0.25, 0.5, 0.75, 0.95):
        assert np.mean(rate < stats.expon.ppf(level, scale=0.5)) == pytest.approx(level, abs=0.02)
    np.testing.assert_allclose(draws.log_likelihood["y"][:, 0], -rate, rtol=1e-4, atol=1e-5)
    assert draws.posterior_predictive["y"].mean() == pytest.approx(0.5, abs=0.03)
    assert repr(fit).startswith("Fit(AutoFullRank, good, by importance resampling, ELBO")


def test_a_banana_is_sampled(host, bent):
    fit, report = bent.fit, bent.fit.report()
    assert [step.name for step in fit.climb.steps] == ["full rank", SAMPLING]
    assert report.ok
    assert report.chains.log_evidence == pytest.approx(log_evidence_of_the_bent(), abs=0.1)
    assert report.chains.rhat < 1.01
    assert isinstance(fit.guide, host.room.AutoFullRank)
    table = str(report).splitlines()
    assert table[1].split() == ["steps", "step", "verdict", "gradients", "seconds"]
    assert table[3].split()[:4] == ["sequential", "Monte", "Carlo", "good"]


def test_a_funnel_is_reparameterised(host, schools, tmp_path):
    fit, report = schools.fit, schools.fit.report()
    names = [step.name for step in fit.climb.steps]
    assert names == ["full rank", "reparameterised full rank", "importance resampling"]
    assert report.ok
    assert report.log_evidence == pytest.approx(log_evidence_of_schools(), abs=0.05)
    path = tmp_path / "fit.safetensors"
    fit.save(path)
    loaded = host.room.load(path, schools.model, *schools.data)
    before, after = (host.random(each.draws, 500, seed=2) for each in (fit, loaded))
    assert list(before.values) == ["mu", "tau", "theta", "twice"]
    for site, values in before.values.items():
        np.testing.assert_array_equal(values, after.values[site])


def test_its_draws_have_all_that_draws_have(host, bent):
    draws = host.random(bent.fit.draws, posterior_predictive=True)
    assert (draws.num_draws, draws.chains, draws.resampled) == (4000, 8, True)
    theta = draws.values["theta"]
    np.testing.assert_allclose(draws.values["twice"], 2 * theta, rtol=1e-5)
    np.testing.assert_array_equal(draws.observed["effect"], EFFECT)
    centre = draws.values["mu"][:, None] + theta
    expected = stats.norm.logpdf(EFFECT, centre, ERROR)
    np.testing.assert_allclose(draws.log_likelihood["effect"], expected, rtol=1e-4)
    residual = (draws.posterior_predictive["effect"] - centre) / ERROR
    assert residual.std() == pytest.approx(1, abs=0.03)
    tree = host.random(bent.fit.to_datatree, 800)
    assert dict(tree["posterior"]["theta"].sizes) == {"chain": 8, "draw": 100, "school": 8}
    assert np.isfinite(float(estimate_loo(draws, site="effect").elpd))


def test_there_are_no_more_draws_than_were_made(host, bent):
    most = len(bent.fit.climb.corrected.z)
    assert host.random(bent.fit.draws, most).num_draws == most
    with pytest.raises(ValueError, match=r"Fit.draws: .*climb=Correction\(ess="):
        host.random(bent.fit.draws, most + 1)


def test_a_saved_climb_comes_back(host, bent, tmp_path):
    path = tmp_path / "fit.safetensors"
    bent.fit.save(path)
    loaded = host.room.load(path, bent.model, *bent.data)
    assert loaded.climb.steps == bent.fit.climb.steps
    assert str(loaded.report()) == str(bent.fit.report())
    before, after = (host.random(each.draws, seed=2) for each in (bent.fit, loaded))
    for site, values in before.values.items():
        np.testing.assert_array_equal(values, after.values[site])
    np.testing.assert_array_equal(before.log_p, after.log_p)
    assert after.chains == 8


def test_both_of_two_modes_are_sampled(host, square):
    fit = host.random(
        host.room.fit, square.model, square.y, climb=Correction(ess=1000), progress_bar=False
    )
    assert fit.report().ok
    assert fit.report().chains.num_modes == 2
    assert "2 found, among which the draws are shared out" in str(fit.report())
    x = host.random(fit.draws).values["x"]
    weight = lambda x: stats.norm.pdf(x, 0, 2) * stats.norm.pdf(4, x**2, 0.5)  # noqa: E731
    total, square_of = (integrate.quad(lambda x, k=k: x**k * weight(x), -4, 4)[0] for k in (0, 2))
    assert np.mean(x > 0) == pytest.approx(0.5, abs=0.05)
    assert (x**2).mean() == pytest.approx(square_of / total, rel=0.02)


@pytest.mark.parametrize("settings", [Correction(max_gradients=0), Correction(max_seconds=0.0)])
def test_without_a_budget_the_draws_are_the_guides(host, square, settings):
    fit = host.random(host.room.fit, square.model, square.y, climb=settings, progress_bar=False)
    report = fit.report()
    assert report.verdict == "not to be trusted"
    assert report.steps[-1].name == SAMPLING
    assert "the budget is spent" in report.notes[0]
    draws = host.random(fit.draws, 100)
    assert not draws.resampled
    assert (draws.values["x"] > 0).all() or (draws.values["x"] < 0).all()


@pytest.mark.parametrize("where", ["judge", "add_missed_modes", "_settle"])
def test_interruption_keeps_what_the_climb_has_reached(host, square, monkeypatch, where):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    result = import_module(f"ppl_ext.{host.name}.fitting.result")
    monkeypatch.setattr(result if where == "judge" else solve, where, interrupt)
    fit = host.random(host.room.fit, square.model, square.y, progress_bar=False)
    monkeypatch.undo()
    assert fit.climb.steps[-1].verdict is None
    assert fit.climb.steps[-1].name == ("full rank" if where == "judge" else SAMPLING)
    assert not fit.report().resampled_ok
    assert "interrupted" in " ".join(fit.report().notes)
    draws = host.random(fit.draws, 100)
    assert draws.resampled == (where == "_settle")


def test_minibatches_are_not_climbed_from_and_it_is_said(host, monkeypatch):
    ppl, dist = host.ppl, host.dist

    def model(y):
        x = ppl.sample("x", dist.Normal(0.0, 1.0))
        with ppl.plate("row", len(y), subsample_size=5) as rows:
            ppl.sample("y", dist.Normal(x, 1.0), obs=y[rows])

    entry = import_module(f"ppl_ext.{host.name}.fitting.entry")

    def fit_shortly(*args, **kwargs):
        settings = host.room.Stochastic(max_steps=200, trial_steps=50)
        changed = [settings if isinstance(each, host.room.Stochastic) else each for each in args]
        return fit_stochastic(*changed, **kwargs)

    fit_stochastic = entry.fit_stochastic
    monkeypatch.setattr(entry, "fit_stochastic", fit_shortly)
    y = host.array(np.linspace(-1, 1, 20))
    fit = host.random(host.room.fit, model, y, num_starts=1, progress_bar=False)
    assert fit.climb.steps == ()
    assert "minibatches are drawn of 'row'" in fit.report().notes[0]
    assert "'row'" in str(fit.report())
    assert not host.random(fit.draws, 10).resampled


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"climb": 4000}, r"climb is a int; expected .*climb=Correction\(ess=4000\)"),
        ({"climb": Correction(), "guide": "AutoMeanField"}, r"beside guide=, .*Leave guide out"),
        ({"climb": Correction(), "optimizer": "Stochastic"}, r"beside optimizer=, .*Leave opt"),
    ],
)
def test_what_cannot_be_climbed_is_refused(host, linear, options, message):
    options = {
        name: getattr(host.room, value)() if name == "optimizer" else value
        for name, value in options.items()
    }
    if "guide" in options:
        options["guide"] = getattr(host.room, options["guide"])
    with pytest.raises(ValueError, match=message):
        host.random(host.room.fit, linear.model, linear.x, y=linear.y, **options)
