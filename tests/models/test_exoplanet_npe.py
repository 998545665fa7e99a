"""The exoplanet's neural posteriors: what the network reads, how it is judged, and a short run."""

from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
from scipy import optimize, stats

from models.exoplanet.assessment import Assessment, measure_efficiency
from models.exoplanet.data import PARAMETERS, read_wasp39b
from models.exoplanet.judging import Residuals
from models.exoplanet.picture import draw_coverage
from models.exoplanet.recipe import SMOKE
from ppl_ext.calibration import Calibration
from ppl_ext.npe.features import Layout

SPECTRA = 2000


@pytest.fixture(scope="module")
def amortized(host):
    """``models/exoplanet/amortized_on_<host>.py``."""
    return import_module(f"models.exoplanet.amortized_on_{host.name}")


def start(host, seed):
    """A random key or a seed, as the host's programs begin with."""
    if host.name == "pyro":
        return seed
    import jax

    return jax.random.key(seed)


@pytest.fixture(scope="module")
def trained(host, amortized):
    real = read_wasp39b()
    given = (start(host, 0), real.wavelength, real.error)
    return amortized.learn(*given, replace(SMOKE, epochs=1), progress_bar=False)


def test_a_network_reads_flat_spectra_with_finite_slopes(host):
    module = import_module(f"models.exoplanet.embedding_on_{host.name}")
    embedding = module.SpectrumEmbedding(Layout(20), np.ones(20), context_dim=5, hidden=8)
    flat = host.array(np.ones((2, 20)))
    if host.name == "pyro":
        flat.requires_grad_()
        found = embedding(flat)
        found.sum().backward()
        slopes = flat.grad
    else:
        import jax

        params = embedding.init(jax.random.key(0))
        found = embedding(params, flat)
        slopes = jax.grad(lambda features: embedding(params, features).sum())(flat)
    assert found.shape == (2, 5)
    assert np.isfinite(np.asarray(found.detach() if host.name == "pyro" else found)).all()
    assert np.isfinite(np.asarray(slopes)).all()


def test_posteriors_know_more_than_the_prior_and_stay_inside(host, amortized, trained):
    assessment = amortized.assess(start(host, 1), trained, SMOKE)
    prior = -np.log([each.high - each.low for each in PARAMETERS]).sum()
    assert assessment.log_density > prior + 1
    assert assessment.calibration.num_simulations == SMOKE.assessed
    assert assessment.efficiency.shape == (SMOKE.weighed,)
    assert (assessment.efficiency > 0).all()
    posterior = trained.posterior(read_wasp39b().depth)
    drawn = host.random(posterior.sample, num_draws=200)
    for each in PARAMETERS:
        assert drawn[each.name].min() >= each.low
        assert drawn[each.name].max() <= each.high


def test_a_spectrum_is_corrected_by_the_density_of_the_model(host, amortized, trained):
    real = read_wasp39b()
    depth = np.asarray(amortized.observe(start(host, 3), real.wavelength, real.error))
    assert depth.shape == real.depth.shape
    found = amortized.retrieve(start(host, 4), trained, real.error, depth, SMOKE)
    assert np.isfinite(found.network.log_p - found.network.log_q).all()
    values = found.corrected.draws.values
    middle = np.median(values["mean_depth"], 0)
    assert found.residuals.rms == pytest.approx(1e6 * np.sqrt(np.mean((depth - middle) ** 2)))
    # The truncated correction is far from done, and says so.
    assert not found.corrected.ok


def make_assessment(width):
    """Posteriors that are so many times as wide as they should be, of 16 normal parameters."""
    rng = np.random.default_rng(0)
    truths = {each.name: rng.normal(size=SPECTRA) for each in PARAMETERS}
    draws = {each.name: width * rng.normal(size=(SPECTRA, 200)) for each in PARAMETERS}
    return Assessment(Calibration.from_draws(truths, draws), np.array([0.01, 0.02, 0.4]), -20.0)


def test_the_gap_of_the_coverage_is_that_of_the_normal_law():
    right, narrow = make_assessment(1.0), make_assessment(0.8)
    assert abs(right.largest_gap[1]) < 0.04

    def gap(level):
        reach = 0.8 * stats.norm.ppf((1 + level) / 2)
        return 2 * stats.norm.cdf(reach) - 1 - level

    truth = optimize.minimize_scalar(gap, bounds=(0, 1), method="bounded").fun
    gaps = [each.largest_gap for each in narrow.coverage.values()]
    assert np.mean(gaps) == pytest.approx(truth, abs=0.01)
    name, worst = narrow.largest_gap
    assert worst == min(gaps) == narrow.coverage[name].largest_gap
    assert "less than they say" in str(narrow)
    assert "median efficiency 2.00%" in str(narrow)


def test_the_efficiency_is_that_of_a_normal_weighed_by_a_narrower_one():
    """E[w]^2 / E[w^2] = s sqrt(2 - s^2) where N(0, 1) is weighed by N(0, s^2)."""
    z = np.random.default_rng(0).normal(size=200_000)
    for sd in (0.3, 0.8):
        found = measure_efficiency(-((z / sd) ** 2) / 2 + z**2 / 2 + 1000.0)
        assert found == pytest.approx(sd * np.sqrt(2 - sd**2), rel=0.01)


def test_the_picture_of_the_coverage_has_all_parameters():
    figure = draw_coverage(make_assessment(0.8))
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert [title.partition(",")[0] for title in titles] == [each.name for each in PARAMETERS]
    low, high = figure.axes[0].get_ylim()
    assert low < -0.12 < 0.05 < high


def test_residuals_are_those_of_the_median():
    draws = {
        "mean_depth": np.array([[0.02, 0.02], [0.0201, 0.02], [0.03, 0.02]]),
        "log_inflation": np.log10([1.0, 2.0, 9.0]),
    }
    found = Residuals.of_draws([0.0201, 0.0203], [1e-4, 1e-4], draws)
    np.testing.assert_allclose(found.ppm, [0, 300], atol=1e-6)
    assert found.inflation == pytest.approx(2.0)
