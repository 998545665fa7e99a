"""The climb from a Gaussian to draws that can be trusted, on densities that are known."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from scipy import stats

from ppl_ext.climbing import (
    Climb,
    climb_from,
    count_draws,
    draw_points,
    pack_climb,
    read_climb,
    stay_below,
    steps,
    unpack_climb,
)
from ppl_ext.correction import Correction, modes, solve
from ppl_ext.density import Density
from ppl_ext.diagnostics import Gaussian, Verdict, judge
from ppl_ext.diagnostics.modes import MissedMode
from ppl_ext.draws import Draws
from ppl_ext.gaussian_vi import GaussianSolution, solve_full_rank
from ppl_ext.storage import read_arrays, write_arrays
from tests.hall.targets import gaussian, make_density, mixture

QUICK = Correction(ess=1000)
TWO = mixture([[-6.0, 0.0], [6.0, 3.0]], [0.3, 0.7])


@dataclass(frozen=True)
class Fitted:
    """What the climb has to know of a fit, and how often it was judged."""

    density: Density
    solution: GaussianSolution
    judged: list = field(default_factory=list)

    @property
    def log(self):
        return self.solution.log

    @property
    def gaussian(self):
        return Gaussian(self.solution.loc, self.solution.scale)

    def report(self):
        rng = np.random.default_rng(0)
        self.judged.append(self)
        batches = []
        for _ in range(8):
            z = self.gaussian.push(rng.standard_normal((2560, self.density.dim)))
            values, log_p = self.density.evaluate(z)
            batches.append(Draws(values, log_p, self.gaussian.log_prob(z)))
        return judge(batches, self.log, density=self.density, gaussian=self.gaussian)


def fit(density):
    return Fitted(density, solve_full_rank(density))


def skewed(shape):
    """``exp(z) ~ Gamma(shape, 1)``, normalised."""

    def log_density(z):
        with np.errstate(all="ignore"):
            log_p = stats.loggamma.logpdf(z[:, 0], shape)
            return log_p, shape - np.exp(z)

    return make_density(1, log_density)


def climb(fitted, settings=QUICK, **options):
    return climb_from(fitted, settings, progress_bar=False, **options)


@pytest.fixture(scope="module")
def two():
    fitted = fit(TWO)
    return fitted, *climb(fitted)[1:]


def test_a_gaussian_is_reached_at_the_first_step():
    fitted = fit(gaussian([1.0, -2.0], [[2.0, 1.0], [1.0, 2.0]]))
    best, climbed, report = climb(fitted)
    assert best is fitted
    assert [step.name for step in climbed.steps] == ["full rank"]
    assert report.ok
    assert report.steps == climbed.steps
    assert climbed.steps[0].gradients == fitted.log.gradients
    assert not climbed.leaves_guide
    assert "steps" not in str(report)  # one step is what the report tells anyway


def test_a_skewed_density_is_resampled():
    fitted = fit(skewed(1.0))
    _, climbed, report = climb(fitted)
    assert [step.name for step in climbed.steps] == ["full rank", "importance resampling"]
    assert climbed.steps[0].verdict == "good after importance resampling"
    assert report.ok
    assert "resampled" in report.advice
    points = draw_points(
        fitted.density, fitted.gaussian, climbed, 20_000, np.random.default_rng(1)
    )
    assert points.resampled
    z, truth = points.z[:, 0], stats.loggamma(1.0)
    assert len(z) == 20_000
    # What a good verdict promises, and the Gaussian does not hold.
    assert fitted.gaussian.sd[0] < 0.85 * truth.std()
    assert abs(z.mean() - truth.mean()) < 0.1 * truth.std()
    assert z.std() == pytest.approx(truth.std(), rel=0.15)
    np.testing.assert_allclose(points.log_q, fitted.gaussian.log_prob(points.z))


@pytest.mark.parametrize(("shape", "last"), [(6.0, "importance resampling"), (1e4, "full rank")])
def test_good_draws_are_resampled_where_that_makes_them_better(shape, last):
    """It costs nothing more than the report, which has the weights."""
    fitted = fit(skewed(shape))
    _, climbed, report = climb(fitted)
    assert climbed.steps[0].verdict == "good"
    assert climbed.steps[-1].name == last
    assert report.ok
    if climbed.resamples:
        rng = np.random.default_rng(1)
        z = draw_points(fitted.density, fitted.gaussian, climbed, 20_000, rng).z[:, 0]
        truth = stats.loggamma(shape).std()
        assert abs(np.log(z.std() / truth)) < abs(np.log(fitted.gaussian.sd[0] / truth)) / 2


def test_two_modes_are_sampled(two):
    fitted, climbed, report = two
    assert [step.name for step in climbed.steps] == ["full rank", "sequential Monte Carlo"]
    assert [str(step.verdict) for step in climbed.steps] == ["not to be trusted", "good"]
    assert report.ok
    assert report.chains.log_evidence == pytest.approx(0.0, abs=0.05)
    assert report.chains.num_modes == 2
    points = draw_points(fitted.density, fitted.gaussian, climbed, 2000, np.random.default_rng(0))
    assert points.chains == 8
    assert np.mean(points.z[:, 0] < 0) == pytest.approx(0.3, abs=0.05)


def test_a_mode_that_the_report_knows_is_not_forgotten(monkeypatch):
    """Half of the mass in a needle a thousand sds away, which a second search may not meet."""
    centres, sds = np.array([0.0, 1000.0]), np.array([1.0, 0.05])

    def log_density(z):
        parts = np.log(0.5) + stats.norm.logpdf(z, centres, sds)
        log_p = np.logaddexp.reduce(parts, axis=1)
        shares = np.exp(parts - log_p[:, None])
        return log_p, (shares * (centres - z) / sds**2).sum(1, keepdims=True)

    fitted = fit(make_density(1, log_density))
    known = MissedMode(np.array([1000.0]), share=0.5, distance=1000.0, site="z", apart=True)
    report = fitted.report()
    told = replace(
        report,
        verdict=Verdict.DISTRUST,
        details=replace(report.details, missed_modes=(known,)),
    )
    monkeypatch.setattr(Fitted, "report", lambda self: told)
    monkeypatch.setattr(modes, "find_missed_modes", lambda *args: ())
    _, climbed, _ = climb(fitted)
    assert climbed.corrected.ok
    assert climbed.corrected.evidence == pytest.approx(0.0, abs=0.05)
    assert np.mean(climbed.corrected.z > 500) == pytest.approx(0.5, abs=0.05)


def test_the_table_is_printed(two):
    _, climbed, report = two
    lines = str(report).splitlines()
    assert lines[0].split() == ["verdict", "good"]
    assert lines[1].split() == ["steps", "step", "verdict", "gradients", "seconds"]
    first, last = climbed.steps
    assert lines[2].split()[:2] == ["full", "rank"]
    assert f"not to be trusted  {first.gradients:>9,}" in lines[2]
    assert lines[3].split()[-3:] == ["good", f"{last.gradients:,}", f"{last.seconds:.2f}"]
    assert "2 found, among which the draws are shared out" in str(report)
    assert "by sequential Monte Carlo" in str(report)
    assert "\n" not in repr(report)
    assert "R-hat" in repr(report)
    assert max(map(len, lines)) <= 99


@pytest.mark.parametrize(("num_draws", "chains"), [(800, 8), (12, 4), (7, 1)])
def test_fewer_draws_are_spread_over_chains_and_time(two, num_draws, chains):
    fitted, climbed, _ = two
    most = len(climbed.corrected.z)
    rng = np.random.default_rng(0)
    points = draw_points(fitted.density, fitted.gaussian, climbed, num_draws, rng)
    assert points.chains == chains
    place = {tuple(row): number for number, row in reversed(list(enumerate(climbed.corrected.z)))}
    rows = np.array([place[tuple(row)] for row in points.z])
    # One of every stretch, up to states that did not move.
    np.testing.assert_allclose(
        rows, (np.arange(num_draws) + 0.5) * most / num_draws, atol=most / num_draws + 8
    )


def test_all_draws_are_all(two):
    fitted, climbed, _ = two
    most = len(climbed.corrected.z)
    assert count_draws(climbed, None, "") == min(4000, most)
    points = draw_points(fitted.density, fitted.gaussian, climbed, most, np.random.default_rng(0))
    np.testing.assert_array_equal(points.z, climbed.corrected.z)
    with pytest.raises(ValueError, match=r"Fit.draws: num_draws = 1,000,000.*Correction\(ess=100"):
        count_draws(climbed, 1_000_000, "")
    with pytest.raises(ValueError, match="expected a positive whole number"):
        count_draws(climbed, 0, "fit.draws(4000)")


def test_a_climb_is_kept_whole_in_a_file(two, tmp_path):
    fitted, climbed, report = two
    arrays, words = pack_climb(climbed)
    write_arrays(tmp_path / "climb", arrays, {"kind": "climb", "words": words})
    arrays, header = read_arrays(tmp_path / "climb", kind="climb")
    again = unpack_climb(arrays, header["words"], fitted.density)
    assert again.steps == climbed.steps
    assert str(again.conclude(fitted.report())) == str(report)
    for name, value in vars(climbed.corrected.log).items():
        assert getattr(again.corrected.log, name) == value
    assert str(again.corrected) == str(climbed.corrected)
    np.testing.assert_array_equal(again.corrected.z, climbed.corrected.z)
    before, after = climbed.corrected.draws, again.corrected.draws
    np.testing.assert_array_equal(before.values["z"], after.values["z"])
    np.testing.assert_array_equal(before.log_p, after.log_p)
    assert (before.chains, before.resampled) == (after.chains, after.resampled)


@pytest.mark.parametrize("settings", [Correction(max_gradients=0), Correction(max_seconds=0.0)])
def test_without_a_budget_the_draws_stay_the_guides(settings):
    fitted = fit(TWO)
    _, climbed, report = climb(fitted, settings)
    assert not report.resampled_ok
    assert not climbed.leaves_guide
    assert report.chains is None
    assert "0% of the way to the posterior (the budget is spent)" in report.notes[0]
    assert "give it more" in report.advice
    assert climbed.steps[-1].verdict == "not to be trusted"


def interrupt(*args, **kwargs):
    raise KeyboardInterrupt


def test_interrupted_before_a_verdict_the_gaussian_is_kept(monkeypatch):
    fitted = fit(TWO)
    monkeypatch.setattr(Fitted, "report", interrupt)
    best, climbed, report = climb(fitted)
    assert best is fitted
    assert report is None
    assert [step.verdict for step in climbed.steps] == [None]
    assert "interrupted" in climbed.notes[0]
    assert not climbed.leaves_guide


def test_an_interrupted_gaussian_is_not_climbed_from():
    fitted = fit(TWO)
    log = replace(fitted.log, reason="interrupted")
    fitted = replace(fitted, solution=replace(fitted.solution, log=log))
    _, climbed, report = climb(fitted)
    assert not fitted.judged
    assert report is None
    assert len(climbed.steps) == 1


@pytest.mark.parametrize("where", ["Population", "add_missed_modes"])
def test_interrupted_on_the_way_the_verdict_is_the_guides(monkeypatch, where):
    monkeypatch.setattr(solve, where, interrupt)
    _, climbed, report = climb(fit(TWO))
    assert not report.resampled_ok
    assert not climbed.leaves_guide
    assert climbed.steps[-1].name == "sequential Monte Carlo"
    assert climbed.steps[-1].verdict is None
    assert "interrupted" in str(report)


def test_interrupted_at_the_posterior_the_draws_are_kept_and_not_called_good(monkeypatch):
    monkeypatch.setattr(solve, "_settle", interrupt)
    _, climbed, report = climb(fit(TWO))
    assert climbed.leaves_guide
    assert not report.ok
    assert "interrupted" in report.notes[-1]
    assert "it was interrupted" in report.advice
    assert count_draws(climbed, None, "") == len(climbed.corrected.z) < 4000


def test_a_density_draw_by_draw_is_not_sampled():
    _, climbed, report = climb(fit(replace(TWO, batched=False)))
    assert [step.name for step in climbed.steps] == ["full rank"]
    assert not report.resampled_ok
    assert "before sequential Monte Carlo: the model of 'z' cannot be" in report.notes[0]
    assert "note " in str(report)


def test_too_many_dimensions_are_not_sampled(monkeypatch):
    monkeypatch.setattr(steps, "_MOST_SAMPLED", 1)
    _, climbed, report = climb(fit(TWO))
    assert [step.name for step in climbed.steps] == ["full rank"]
    assert not report.ok
    assert "1 dimensions at most and the model has 2, 2 of them in 'z'" in report.notes[0]


def test_other_coordinates_come_before_sampling():
    """A refit is judged as the first fit was; one that can do nothing is passed over."""
    better, asked = fit(gaussian([0.0], [[1.0]])), []

    def refit(fitted):
        asked.append(fitted)
        return better

    first = fit(TWO)
    refits = [("idle", lambda fitted: None), ("turned", refit), ("late", interrupt)]
    best, climbed, report = climb(first, refits=refits)
    assert best is better
    assert asked == [first]
    assert [step.name for step in climbed.steps] == ["full rank", "turned full rank"]
    assert report.ok


def test_the_better_of_two_gaussians_is_sampled_from():
    """Without a good one, that with the higher bound goes on."""
    first = fit(TWO)
    wide = replace(first.solution, scale=2 * first.solution.scale)
    best, climbed, _ = climb(first, refits=[("wide", lambda fitted: Fitted(TWO, wide))])
    assert best is first
    assert [step.name for step in climbed.steps] == [
        "full rank",
        "wide full rank",
        "sequential Monte Carlo",
    ]


def test_what_was_asked_is_read():
    line = "fit(model"
    assert read_climb(False, named="", line=line) is None
    assert read_climb(QUICK, named="", line=line) is QUICK
    with pytest.raises(ValueError, match=r"climb is a int; .*fit\(model, ..., climb=Correction"):
        read_climb(3, named="", line=line)
    with pytest.raises(ValueError, match="climb is the class Correction"):
        read_climb(Correction, named="", line=line)
    with pytest.raises(ValueError, match=r"beside guide=, .*Leave guide out"):
        read_climb(QUICK, named="guide", line=line)


def test_why_a_stochastic_fit_did_not_climb():
    assert "minibatches are drawn of 'row'" in stay_below(["row"], []).notes[0]
    assert "the model learns 'net'" in stay_below([], ["net"]).notes[0]
    assert stay_below([], []) is None
    report = fit(gaussian([0.0], [[1.0]])).report()
    told = stay_below(["row"], []).conclude(report)
    assert (told.verdict, told.advice) == (report.verdict, report.advice)
    assert "'row'" in str(told)


def test_a_climb_without_a_step_gives_the_guides_draws():
    assert not Climb(()).leaves_guide
