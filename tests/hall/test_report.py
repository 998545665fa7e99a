"""The verdict against posteriors whose moments are known."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm
from scipy.stats import t as student_t

from ppl_ext.diagnostics import Details, Gaussian, Report, Verdict, judge
from ppl_ext.diagnostics.modes import find_missed_modes
from ppl_ext.diagnostics.moments import pool_moments, summarize_batch
from ppl_ext.diagnostics.tails import probe_tails
from ppl_ext.diagnostics.valleys import are_apart
from ppl_ext.draws import Draws
from ppl_ext.fitting import INTERRUPTED, FitLog
from ppl_ext.gaussian_vi import solve_full_rank, solve_mean_field
from tests.hall.targets import gaussian, make_density, mixture, rotated_log_gamma

LOG = FitLog(np.array([1.0]), "converged", True, seconds=0.1)


def draw(density, guide, seed=0, batches=8, size=2500):
    rng = np.random.default_rng(seed)
    for _ in range(batches):
        z = guide.push(rng.standard_normal((size, density.dim)))
        yield Draws(dict(density.constrain(z)), density.log_p(z), guide.log_prob(z))


def report_on(density, guide, log=LOG, seed=0):
    return judge(draw(density, guide, seed), log, density=density, gaussian=guide, seed=seed)


def fit_and_judge(density, solve=solve_full_rank, seed=0):
    solution = solve(density, seed=seed)
    return report_on(density, Gaussian(solution.loc, solution.scale), solution.log, seed)


def student(df, dim):
    def log_density(z):
        return (
            student_t.logpdf(z, df).sum(-1),
            -(df + 1) * z / (df + z**2),
        )

    return make_density(dim, log_density)


def test_a_gaussian_agrees_with_scipy():
    scale = np.array([[2.0, 0.0], [1.0, 0.5]])
    z = np.random.default_rng(0).normal(size=(5, 2))
    truth = multivariate_normal([1.0, -1.0], scale @ scale.T).logpdf(z)
    guide = Gaussian(np.array([1.0, -1.0]), scale)
    assert np.allclose(guide.log_prob(z), truth)
    assert np.allclose(guide.push(guide.pull(z)), z)
    narrow = Gaussian(np.zeros(2), np.array([3.0, 0.1]))
    assert np.allclose(narrow.log_prob(z), norm.logpdf(z, 0, [3.0, 0.1]).sum(1))
    assert np.allclose(narrow.push(narrow.pull(z)), z)


def test_pooled_moments_are_those_of_all_draws():
    rng = np.random.default_rng(0)
    values, log_weights = rng.normal(size=(1000, 3)), rng.normal(size=1000)
    pooled = pool_moments(
        [
            summarize_batch({"x": values[i : i + 250]}, log_weights[i : i + 250])
            for i in range(0, 1000, 250)
        ]
    )
    weights = np.exp(log_weights)
    mean = np.average(values, axis=0, weights=weights)
    assert np.allclose(pooled.mean, mean)
    assert np.allclose(
        pooled.sd, np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weights))
    )


def test_standard_errors_of_pooled_moments():
    def pool(seed):
        draws = np.random.default_rng(seed).normal(size=(8, 500))
        return pool_moments([summarize_batch({"x": row}, np.zeros(500)) for row in draws])

    pools = [pool(seed) for seed in range(200)]
    # For normal draws: 1 / sqrt(n) for the mean and 1 / sqrt(2 n) for the log sd.
    assert np.mean([pool.mean_error**2 for pool in pools]) == pytest.approx(1 / 4000, rel=0.1)
    assert np.mean([pool.sd_error**2 for pool in pools]) == pytest.approx(1 / 8000, rel=0.1)


@pytest.mark.parametrize("seed", range(5))
def test_a_gaussian_posterior_is_good(seed):
    precision = np.array([[4.0, 1.5, 0.0], [1.5, 1.0, 0.2], [0.0, 0.2, 9.0]])
    report = fit_and_judge(gaussian([1.0, 2.0, 3.0], precision), seed=seed)
    assert report.ok
    assert report.resampled_ok
    assert report.verdict is Verdict.GOOD
    assert report.details.log_evidence == pytest.approx(0.0, abs=1e-6)
    assert report.elbo == pytest.approx(0.0, abs=1e-6)


def test_mean_field_on_a_correlated_gaussian_is_not_trusted():
    precision = np.linalg.inv([[1.0, 0.95], [0.95, 1.0]])
    report = fit_and_judge(gaussian(np.zeros(2), precision), solve_mean_field)
    assert not report.ok
    assert "AutoFullRank" in report.advice
    # KL of the best factorised Gaussian: -log(1 - 0.95^2) / 2.
    assert report.elbo == pytest.approx(0.5 * np.log(1 - 0.95**2), abs=0.02)


def test_a_skewed_posterior_is_good_after_resampling():
    # sd of log Gamma(1) is pi / sqrt(6) = 1.28, that of its best Gaussian 1: off by a quarter.
    report = fit_and_judge(rotated_log_gamma(1.0, np.eye(1)))
    assert not report.ok
    assert report.details.sd_shift > 0.15


@pytest.mark.parametrize("seed", range(5))
def test_a_missed_mode_is_found(seed):
    density = mixture([[0.0, 0.0], [8.0, 0.0]], [0.7, 0.3])
    report = report_on(density, Gaussian(np.zeros(2), np.ones(2)), seed=seed)
    assert not report.resampled_ok
    assert report.details.missed_modes[0].share == pytest.approx(0.3, abs=0.05)
    assert report.details.missed_modes[0].distance == pytest.approx(8.0, abs=0.1)
    assert "another carries mass" in report.advice


@pytest.mark.parametrize(
    ("share", "distance", "sd", "dim"),
    [(0.005, 40.0, 1.0, 10), (0.008, 12.0, 1.0, 10), (0.008, 8.0, 1.0, 2), (0.3, 10.0, 0.3, 10)],
)
def test_a_mode_counts_by_share_and_distance(share, distance, sd, dim):
    """The log sd is off by log(1 + s d^2) / 2: by 1.1, .39, .21 and 1.6."""
    density = two_modes(share, distance, sd, dim)
    report = report_on(density, Gaussian(np.zeros(dim), np.eye(dim)))
    assert not report.resampled_ok
    (mode,) = report.details.missed_modes
    assert mode.apart
    assert mode.share == pytest.approx(share, rel=0.05)
    assert mode.distance == pytest.approx(distance, rel=0.01)
    assert "most of all in 'z'" in str(report)


def test_a_mode_that_moves_nothing_is_let_go():
    density = two_modes(1e-5, 8.0, 1.0, 2)
    report = report_on(density, Gaussian(np.zeros(2), np.eye(2)))
    assert report.ok
    assert f"none missed on {report.details.mode_searches} paths" in str(report)


@pytest.mark.parametrize("centre", [0.0, 1.0])
def test_the_neck_of_a_funnel_is_no_other_mode(centre):
    scale = np.append(0.5, np.full(3, np.exp(0.5 * centre)))
    report = report_on(funnel(1.0, 4), Gaussian(centre * np.eye(4)[0], np.diag(scale)))
    assert not report.resampled_ok
    (neck,) = report.details.missed_modes
    assert neck.distance == pytest.approx((1.5 + centre) / 0.5, rel=0.01)  # at -(dim - 1) / 2
    assert not neck.apart
    assert "non-centred" in report.advice


def test_a_fitted_funnel_is_told_the_other_form():
    report = fit_and_judge(funnel(1.0, 10))
    assert not report.resampled_ok
    assert "non-centred" in report.advice


def test_a_ridge_that_bends_has_no_valley():
    ridge = bent_ridge(3.0)
    ends = np.array([[-2.0, 12.0], [2.0, 12.0]])
    middle = ridge(ends.mean(0, keepdims=True))[0][0]
    assert middle < ridge(ends)[0][0] - 60.0
    assert not are_apart(ridge, *ends, np.ones(2))


def two_modes(share, distance, sd, dim):
    """Gaussians at the origin and along the first axis; the log evidence is zero."""
    near, far = np.zeros(dim), distance * np.eye(dim)[0]
    parts = gaussian(near, np.eye(dim)), gaussian(far, np.eye(dim) / sd**2)

    def log_density(z):
        (log_p, slope), (far_log_p, far_slope) = (part.log_density(z) for part in parts)
        weighted = np.stack([np.log1p(-share) + log_p, np.log(share) + far_log_p])
        total = np.logaddexp.reduce(weighted)
        shares = np.exp(weighted - total)[..., None]
        return total, shares[0] * slope + shares[1] * far_slope

    return make_density(dim, log_density)


def funnel(width, dim):
    """Neal's funnel: the first coordinate is the log variance of the others."""

    def log_density(z):
        precision = np.exp(-z[:, 0])
        squares = (z[:, 1:] ** 2).sum(1) * precision
        log_p = -0.5 * (z[:, 0] / width) ** 2 - 0.5 * (dim - 1) * z[:, 0] - 0.5 * squares
        slope = -z[:, 0] / width**2 - 0.5 * (dim - 1) + 0.5 * squares
        return log_p, np.concatenate([slope[:, None], -z[:, 1:] * precision[:, None]], 1)

    return make_density(dim, log_density)


def bent_ridge(bend):
    """Normal in the first coordinate, and in the second around its square."""

    def log_density(z):
        residual = z[:, 1] - bend * z[:, 0] ** 2
        log_p = -0.1 * z[:, 0] ** 2 - 0.5 * residual**2
        return log_p, np.stack([-0.2 * z[:, 0] + 2 * bend * z[:, 0] * residual, -residual], 1)

    return log_density


def test_no_mode_is_missed_where_there_is_one():
    density = rotated_log_gamma(2.0, np.eye(3))
    solution = solve_full_rank(density)
    guide = Gaussian(solution.loc, solution.scale)
    assert find_missed_modes(density, guide, 0.0, np.random.default_rng(0)) == ()


def test_modes_are_looked_for_where_the_density_near_the_origin_is_zero():
    normal = gaussian(np.full(1, 20.0), np.eye(1)).log_density

    def log_density(z):
        log_p, gradient = normal(z)
        return np.where(z[:, 0] > 10, log_p, -np.inf), gradient

    guide = Gaussian(np.full(1, 20.0), np.ones(1))
    found = find_missed_modes(make_density(1, log_density), guide, 0.0, np.random.default_rng(0))
    assert found == ()


def test_wide_probes_estimate_the_moments_of_a_heavy_tail():
    wide = pool_moments(
        probe_tails(student(5, 2), Gaussian(np.zeros(2), np.eye(2)), np.random.default_rng(0))
    )
    assert np.allclose(wide.sd, np.sqrt(5 / 3), rtol=0.05)
    assert np.abs(wide.mean).max() < 0.05


@pytest.mark.parametrize("seed", range(3))
def test_a_heavy_tail_is_not_trusted(seed):
    report = fit_and_judge(student(2, 3), seed=seed)
    assert not report.ok
    assert not report.resampled_ok


def test_constants_do_not_count_against_a_fit():
    rng = np.random.default_rng(0)
    batches = []
    for _ in range(8):
        x = rng.standard_normal(2500)
        correlation = np.tanh(x / 10)
        zero, one = np.zeros_like(x), np.ones_like(x)
        corner = np.stack([one, zero, correlation, np.sqrt(1 - correlation**2)], axis=-1)
        values = {"x": x, "factor": corner.reshape(-1, 2, 2), "third": one / 3}
        log_p = norm.logpdf(x)
        batches.append(Draws(values, log_p, log_p + 0.05 * np.sin(x)))
    report = judge(batches, LOG)
    assert report.ok, str(report)
    assert report.details.correction_error < 0.02


@pytest.mark.parametrize(
    ("guide", "posterior", "verdict"),
    [
        (0.3, 0.3, "good"),
        (0.3, 0.4, "good after importance resampling"),  # .22 sd apart
        (1e-4, 1e-5, "good"),  # the standard deviations differ threefold, of next to nothing
    ],
)
def test_values_of_a_discrete_site(guide, posterior, verdict):
    """Events too rare to be seen say nothing against a fit; others count as ever."""
    rng = np.random.default_rng(0)
    batches = []
    for _ in range(8):
        z = rng.random((2500, 2)) < (guide, 0.5)
        log_p, log_q = (np.log(np.where(z[:, 0], p, 1 - p)) for p in (posterior, guide))
        batches.append(Draws({"z": z.astype(float)}, log_p, log_q))
    report = judge(batches, LOG)
    assert report.verdict == verdict


def test_a_wrong_discrete_guide_is_advised_as_such():
    rng = np.random.default_rng(0)
    batches = []
    for _ in range(8):
        z = rng.random((2500, 8)) < 0.1
        log_p, log_q = (np.log(np.where(z, p, 1 - p)).sum(1) for p in (0.9, 0.1))
        batches.append(Draws({"z": z.astype(float)}, log_p, log_q))
    report = judge(batches, LOG)
    assert report.verdict == "not to be trusted"
    assert "discrete sites" in report.advice


def test_an_interrupted_fit_is_told_so():
    log = FitLog(np.array([1.0]), INTERRUPTED, False, seconds=0.1)
    density = gaussian(np.zeros(2), np.eye(2))
    report = report_on(density, Gaussian(np.full(2, 3.0), np.ones(2)), log)
    assert not report.ok
    assert "interrupted" in report.advice


def test_without_a_density_the_report_says_what_it_has_not_seen():
    density = gaussian(np.zeros(2), np.eye(2))
    report = judge(draw(density, Gaussian(np.zeros(2), np.ones(2))), LOG)
    assert report.details.tail_shift is None
    assert report.details.missed_modes is None
    assert str(report).count("not looked at") == 2


def test_a_point_is_no_posterior():
    density = gaussian(np.zeros(2), np.eye(2))
    z = np.tile([0.1, 0.0], (2500, 1))
    batches = [Draws(density.constrain(z), density.log_p(z), np.zeros(2500)) for _ in range(8)]
    for seen in ({}, {"density": density, "gaussian": Gaussian.match(z)}):
        report = judge(batches, LOG, **seen)
        assert report.verdict == "not to be trusted"
        assert "at one point" in report.advice


def test_a_guide_that_is_a_point_in_one_direction_is_not_trusted():
    density = gaussian(np.zeros(2), np.eye(2))
    z = np.random.default_rng(0).standard_normal((20_000, 2)) * [1.0, 0.0]
    log_q = norm.logpdf(z[:, 0])
    batches = [
        Draws(density.constrain(part), density.log_p(part), part_q)
        for part, part_q in zip(np.split(z, 8), np.split(log_q, 8), strict=True)
    ]
    report = judge(batches, LOG, density=density, gaussian=Gaussian.match(z))
    assert not report.ok
    assert not report.resampled_ok


def test_a_report_prints_what_it_knows():
    text = str(fit_and_judge(mixture([[0.0], [2.0]], [0.5, 0.5])))
    for line in ("verdict", "k-hat", "ESS", "ELBO", "log evidence", "tails", "modes", "advice"):
        assert any(row.startswith(line) for row in text.splitlines())


def test_a_guide_without_overlap_is_refused():
    draws = Draws({"x": np.zeros(10)}, np.full(10, -np.inf), np.zeros(10))
    with pytest.raises(ValueError, match="zero or not finite at all 10 draws"):
        judge([draws], LOG)


@pytest.mark.parametrize(
    ("verdict", "ok", "resampled_ok"),
    [
        (Verdict.GOOD, True, True),
        (Verdict.RESAMPLE, False, True),
        (Verdict.DISTRUST, False, False),
    ],
)
def test_a_verdict_says_which_draws_are_good(verdict, ok, resampled_ok):
    report = make_report(verdict=verdict)
    assert (report.ok, report.resampled_ok) == (ok, resampled_ok)
    assert f"verdict       {verdict}\n" in str(report)
    assert repr(report) == f"Report({verdict}, k-hat 0.40, ESS 900 of 1,000, ELBO -1,234.57)"


@pytest.mark.parametrize(
    ("khat", "words"),
    [
        (0.4, "0.40 (quarters of the draws: 0.10 to 0.30)"),
        (-0.2, "-0.20: the weights are bounded (quarters of the draws: 0.10 to 0.30)"),
        (-np.inf, "none, for the largest weights are equal: no tail"),
        (np.inf, "infinite: a few weights outweigh all others, and no tail fits them"),
    ],
)
def test_khat_in_words(khat, words):
    assert f"k-hat         {words}\n" in str(make_report(khat=khat))


def make_report(**changed):
    details = Details(
        num_draws=1000,
        khat_of_batches=(0.1, 0.3),
        elbo_error=0.1,
        log_evidence=-1234.0,
        mean_shift=0.0,
        sd_shift=0.0,
        shifted_site="x",
        correction_error=0.0,
        tail_shift=None,
        heavy_site="",
        missed_modes=None,
        mode_searches=0,
        log=LOG,
    )
    known = {"verdict": Verdict.GOOD, "khat": 0.4, "ess": 900.0, "elbo": -1234.567}
    return Report(**{**known, **changed}, advice="", details=details)
