"""Corrected draws against moments, weights and evidences that are known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.special import betaln, expit, log_expit

from ppl_ext.correction import Correction, correct
from ppl_ext.diagnostics.gaussian import Gaussian
from tests.hall.targets import gaussian, make_density, mixture

QUICK = Correction(ess=2000)


def run(density, loc, scale, settings=QUICK, seed=0):
    fitted = Gaussian(np.asarray(loc, float), np.asarray(scale, float))
    return correct(density, fitted, settings, seed=seed, progress_bar=False)


def funnel(width, dim):
    """``v ~ N(0, width^2)`` and ``dim - 1`` values ``x ~ N(0, exp(v))``, normalised."""

    def log_density(z):
        v, x = z[:, 0], z[:, 1:]
        with np.errstate(all="ignore"):
            squares = (x**2).sum(1) * np.exp(-v)
            log_p = -0.5 * (v / width) ** 2 - 0.5 * (dim - 1) * v - 0.5 * squares
            slope = -v / width**2 - 0.5 * (dim - 1) + 0.5 * squares
            gradient = np.column_stack([slope, -x * np.exp(-v)[:, None]])
        return log_p - np.log(width) - 0.5 * dim * np.log(2 * np.pi), gradient

    return make_density(dim, log_density)


def banana(bend):
    """``x ~ N(0, 1)`` and ``y ~ N(bend (x^2 - 1), 1)``, normalised."""

    def log_density(z):
        residual = z[:, 1] - bend * (z[:, 0] ** 2 - 1)
        log_p = -0.5 * z[:, 0] ** 2 - 0.5 * residual**2 - np.log(2 * np.pi)
        return log_p, np.column_stack([-z[:, 0] + 2 * bend * z[:, 0] * residual, -residual])

    return make_density(2, log_density)


def student(freedom):
    def log_density(z):
        slope = -(freedom + 1) * z / (freedom + z**2)
        return stats.t.logpdf(z[:, 0], freedom), slope

    return make_density(1, log_density)


def assert_evidence(corrected, log_evidence, error=0.05):
    assert abs(corrected.evidence - log_evidence) < error
    assert corrected.evidence_error < error


def test_a_gaussian_seen_too_narrow_and_askew():
    precision = np.array([[2.0, 1.2, 0.0], [1.2, 1.0, 0.1], [0.0, 0.1, 0.5]])
    mean = np.array([1.0, -2.0, 30.0])
    sd = np.sqrt(np.diag(np.linalg.inv(precision)))
    corrected = run(gaussian(mean, precision), mean + 0.5, [0.3, 0.3, 0.5])
    z = corrected.draws.values["z"]
    assert corrected.ok
    np.testing.assert_allclose((z.mean(0) - mean) / sd, 0, atol=0.08)
    np.testing.assert_allclose(z.std(0) / sd, 1, atol=0.06)
    assert_evidence(corrected, 0.0)


@pytest.mark.parametrize("bend", [0.5, 5.0])
def test_a_banana(bend):
    corrected = run(banana(bend), [0.0, 0.0], [0.5, 1.0], Correction())
    x, y = corrected.draws.values["z"].T
    assert corrected.ok
    assert abs(x.mean()) < 0.08
    # The kurtosis of y, up to 15, makes its standard deviation three times as uncertain.
    np.testing.assert_allclose([x.std(), y.std() / np.sqrt(1 + 2 * bend**2)], 1, atol=0.1)
    assert_evidence(corrected, 0.0)


@pytest.mark.parametrize(("width", "dim"), [(1.0, 10), (3.0, 2), (3.0, 10)])
def test_a_funnel_to_the_bottom_of_its_neck(width, dim):
    corrected = run(funnel(width, dim), np.zeros(dim), np.full(dim, 0.7))
    v = corrected.draws.values["z"][:, 0] / width
    assert abs(v.mean()) < 0.1
    assert abs(v.std() - 1) < 0.08
    assert stats.norm.cdf(-1.5) == pytest.approx(np.mean(v < -1.5), abs=0.02)
    assert_evidence(corrected, 0.0)


def test_two_modes_of_known_weights():
    corrected = run(mixture([[-6.0, 0.0], [6.0, 3.0]], [0.3, 0.7]), [6.0, 3.0], [1.0, 1.0])
    z = corrected.draws.values["z"]
    assert corrected.ok
    assert corrected.log.num_modes == 2
    assert np.mean(z[:, 0] < 0) == pytest.approx(0.3, abs=0.04)
    assert_evidence(corrected, 0.0)


def test_a_conjugate_model():
    """Nine successes and two failures under a uniform prior, on the logit scale."""

    def log_density(z):
        z = z[:, 0]
        return 10 * log_expit(z) + 3 * log_expit(-z), (10 * expit(-z) - 3 * expit(z))[:, None]

    density = make_density(1, log_density, constrain=lambda z: {"p": expit(z[:, 0])})
    corrected = run(density, [1.0], [0.5])
    truth = stats.beta(10, 3)
    p = corrected.draws.values["p"]
    assert corrected.ok
    assert abs(p.mean() - truth.mean()) < 0.08 * truth.std()
    assert p.std() == pytest.approx(truth.std(), rel=0.06)
    assert_evidence(corrected, betaln(10, 3))


def test_heavy_tails_have_their_quantiles_and_no_good_word():
    corrected = run(student(1.5), [0.0], [1.0])
    z = corrected.draws.values["z"][:, 0]
    for level in (0.025, 0.25, 0.75, 0.975):
        assert np.mean(z < stats.t.ppf(level, 1.5)) == pytest.approx(level, abs=0.03)
    assert_evidence(corrected, 0.0)
    assert not corrected.ok
    assert "quantiles" in corrected.advice
    assert "'z[0]'" in corrected.log.notes[0]


def test_a_half_space_without_density():
    """A half-normal with a hard bound: points beyond it have no density and no gradient."""

    def log_density(z):
        inside = z[:, 0] > 0
        log_p = np.where(inside, -0.5 * (z**2).sum(1), -np.inf)
        return log_p, np.where(inside[:, None], -z, np.nan)

    corrected = run(make_density(2, log_density), [0.8, 0.0], [0.6, 1.0])
    x, y = corrected.draws.values["z"].T
    assert x.min() > 0
    assert x.mean() == pytest.approx(np.sqrt(2 / np.pi), abs=0.05)
    assert y.std() == pytest.approx(1, abs=0.06)
    assert_evidence(corrected, np.log(np.pi))


def test_a_density_that_jumps():
    """Unit normal, three times as heavy on the right: its gradient does not know."""

    def log_density(z):
        return -0.5 * (z**2).sum(1) + np.where(z[:, 0] > 0, np.log(3), 0.0), -z

    corrected = run(make_density(1, log_density), [0.0], [1.0])
    share = np.mean(corrected.draws.values["z"] > 0)
    assert share == pytest.approx(0.75, abs=0.03)
    assert_evidence(corrected, np.log(2) + 0.5 * np.log(2 * np.pi))


def test_float32_densities_far_from_zero():
    """Log densities near a million are rounded to sixteenths."""

    def log_density(z):
        single = z.astype(np.float32)
        log_p = np.float32(-5e5) - np.float32(0.5) * (single**2).sum(1)
        return log_p.astype(float), -single.astype(float)

    corrected = run(make_density(2, log_density, dtype=np.float32), [0.3, 0.0], [0.8, 0.8])
    z = corrected.draws.values["z"]
    np.testing.assert_allclose(z.mean(0), 0, atol=0.08)
    np.testing.assert_allclose(z.std(0), 1, atol=0.06)


def test_the_same_seed_gives_the_same_draws():
    first, second, other = (
        run(banana(1.0), [0.0, 0.0], [1.0, 1.0], seed=seed) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first.draws.values["z"], second.draws.values["z"])
    assert first.evidence == second.evidence
    assert other.evidence != first.evidence


def test_batches_are_multiples_of_what_is_compiled():
    density = gaussian(np.zeros(2), np.eye(2))
    sizes = []

    def log_p(z):
        sizes.append(len(z))
        return density.log_p(z)

    def log_density(z):
        sizes.append(len(z))
        return density.log_density(z)

    run(replace(density, log_density=log_density, log_p=log_p), [0.0, 0.0], [1.0, 1.0])
    moves = [size for size in sizes if size > 256]
    assert moves
    assert not [size for size in moves if size % 256]
