"""The exoplanet: the closed-form limb beside quadrature, the model, and WASP-39b."""

from importlib import import_module
from pathlib import Path

import mpmath
import numpy as np
import pytest
from scipy import special, stats

from models.exoplanet import data
from models.exoplanet.data import PARAMETERS, STAR_RADIUS, TRUTH, make_grid, read_wasp39b
from models.exoplanet.judging import Residuals, compare_with_truth
from models.exoplanet.opacities import BANDS, MOLECULES, RAYLEIGH, RAYLEIGH_WAVELENGTH
from models.exoplanet.picture import draw_corner, draw_spectrum
from models.exoplanet.search import find_mode
from ppl_ext.density import Density, Site
from ppl_ext.draws import Draws
from tests.oracles.transit import (
    JUPITER_RADIUS,
    SUN_RADIUS,
    find_cross_section,
    find_depth,
    find_depths,
    find_limb,
)

WAVELENGTHS = np.array([0.65, 1.0, 1.4, 2.2, 2.7, 4.3, 5.0])
STAR = STAR_RADIUS * SUN_RADIUS
PPM = 1e-6
# No gas, no haze, no clouds, no offset: what else is there is said on top.
BARE = dict(
    {f"log_{name}": -30.0 for name in MOLECULES},
    **{"radius": 1.2, "temperature": 1000.0, "log_gravity": 2.6, "log_haze": -30.0},
    **{"haze_slope": 4.0, "cloud_cover": 0.0, "log_cloud_pressure": 1.0, "offset": 0.0},
)


@pytest.fixture
def limb(host):
    """``models/exoplanet/limb_on_<host>.py``."""
    return import_module(f"models.exoplanet.limb_on_{host.name}")


@pytest.fixture
def deepen(host, limb):
    """Compute depths from numbers, ``(wavelength, planet) -> array[..., bin]``."""
    compute = limb.transit_depth
    if host.name == "numpyro":
        import jax

        compute = jax.jit(compute)

    def call(wavelength, planet, *star_radius):
        given = {name: host.array(value) for name, value in planet.items()}
        return np.asarray(compute(host.array(wavelength), given, *star_radius), dtype=float)

    return call


def draw_planets(count, seed=0):
    rng = np.random.default_rng(seed)
    return {each.name: rng.uniform(each.low, each.high, count) for each in PARAMETERS}


def differentiate(host, function, given):
    """Derivatives of the sum of a function's values, ``{name: array}`` as its arguments are."""
    if host.name == "pyro":
        leaves = {name: host.array(x).requires_grad_() for name, x in given.items()}
        function(leaves).sum().backward()
        return {name: x.grad.numpy() for name, x in leaves.items()}
    import jax

    slopes = jax.jit(jax.grad(lambda leaves: function(leaves).sum()))
    return slopes({name: host.array(x) for name, x in given.items()})


def list_sites(host, model, *args):
    """The sites of a model; JAX computes no number for them."""
    if host.name == "pyro":
        return host.trace(model, *args)
    import jax

    found = {}
    jax.eval_shape(lambda: found.update(host.trace(model, *args)))
    return found


def test_the_entire_integral_is_that_of_mpmath(host, limb):
    t = np.concatenate([np.geomspace(1e-8, 1e11, 60), [0.999, 1.0, 1.001]])
    with mpmath.workdps(40):
        truth = [float(mpmath.euler + mpmath.log(x) + mpmath.e1(x)) for x in map(mpmath.mpf, t)]
    found = np.asarray(limb.entire_integral(host.array(t)))
    np.testing.assert_allclose(found, truth, rtol=4e-7)  # single precision
    assert float(limb.entire_integral(host.array(0.0))) == 0


def test_the_entire_integral_has_the_right_slope(host, limb):
    t = np.geomspace(1e-6, 1e8, 40)
    found = differentiate(host, lambda given: limb.entire_integral(given["t"]), {"t": t})["t"]
    np.testing.assert_allclose(found, -np.expm1(-t) / t, rtol=2e-5)


def test_the_cross_sections_are_sums_of_bands(host, limb):
    found = np.asarray(limb.cross_sections(host.array(WAVELENGTHS)))
    truth = [
        [find_cross_section(wavelength, place) * 1e28 for wavelength in WAVELENGTHS]
        for place in range(len(MOLECULES))
    ]
    np.testing.assert_allclose(found, truth, rtol=2e-5)
    assert set(BANDS.molecule) == set(range(len(MOLECULES)))


def test_hydrogen_scatters_as_published():
    """Lecavelier des Etangs et al. 2008: 2.52e-28 cm2 at 0.75 um."""
    scattered = RAYLEIGH * (RAYLEIGH_WAVELENGTH / 0.75) ** 4 * 1e-24
    assert scattered == pytest.approx(2.52e-28, rel=2e-3)


def test_depths_are_those_of_quadrature(deepen):
    """In SI units, clouds and haze and all: 0.05 ppm where an error bar has fifty."""
    planets = draw_planets(12)
    found = deepen(WAVELENGTHS, planets)
    for place in range(12):
        planet = {name: value[place] for name, value in planets.items()}
        truth = find_depths(WAVELENGTHS, planet)
        np.testing.assert_allclose(found[place], truth, rtol=0, atol=0.05 * PPM)


def test_the_closed_form_is_near_chords_through_a_round_limb(deepen):
    """Within a fifth of a scale height wherever the priors reach, and mostly a twentieth."""
    planets = draw_planets(25, seed=1) | {"cloud_cover": np.zeros(25), "offset": np.zeros(25)}
    radii = np.sqrt(deepen(WAVELENGTHS, planets)) * STAR
    errors = np.empty_like(radii)
    for place, bin_ in np.ndindex(radii.shape):
        planet = {name: value[place] for name, value in planets.items()}
        limb = find_limb(WAVELENGTHS[bin_], planet)
        errors[place, bin_] = (limb.round_radius() - radii[place, bin_]) / limb.height
    assert np.abs(errors).max() < 0.2
    assert np.median(np.abs(errors)) < 0.06


def test_the_error_of_the_closed_form_falls_with_the_scale_height(deepen):
    errors, heights = [], []
    for temperature in (300.0, 1500.0):
        planet = BARE | {"log_H2O": -3.0, "temperature": temperature, "log_gravity": 2.5}
        limb = find_limb(1.4, planet)
        found = np.sqrt(deepen([1.4], planet)[0]) * STAR
        errors.append(abs(found - limb.round_radius()) / limb.height)
        heights.append(limb.height / limb.base)
    np.testing.assert_allclose(heights, [0.004, 0.02], rtol=0.05)
    assert errors[0] < 0.035
    assert errors[1] < 0.15
    assert errors[1] / errors[0] == pytest.approx(5, rel=0.3)


def test_a_transparent_limb_leaves_the_radius(deepen):
    found = deepen([500.0], BARE)[0]  # nothing scatters there
    assert found == pytest.approx((1.2 * JUPITER_RADIUS / STAR) ** 2, abs=0.01 * PPM)


def test_an_opaque_limb_ends_at_the_clouds(deepen):
    clouds = BARE | {"cloud_cover": 1.0, "log_cloud_pressure": -3.0}
    limb = find_limb(500.0, clouds)
    top = limb.base + limb.height * np.log(1e4)
    assert deepen([500.0], clouds)[0] == pytest.approx((top / STAR) ** 2, abs=0.01 * PPM)


def test_the_radius_falls_with_the_wavelength_by_four_scale_heights(deepen):
    """d R / d ln(wavelength) = -slope H where hydrogen or haze stop the light."""
    wavelength = np.array([0.4, 0.41])
    for planet, slope in (
        (BARE | {"temperature": 800.0}, 4.0),
        (BARE | {"log_haze": 4.0, "haze_slope": 2.0}, 2.0),
    ):
        radii = np.sqrt(deepen(wavelength, planet)) * STAR
        found = np.diff(radii)[0] / np.diff(np.log(wavelength))[0]
        assert found == pytest.approx(-slope * find_limb(0.4, planet).height, rel=5e-3)


def test_twice_the_gas_is_a_scale_height_times_ln_2(deepen):
    water = np.log10([1e-5, 2e-5])
    planets = {name: np.full(2, value) for name, value in BARE.items()} | {"log_H2O": water}
    radii = np.sqrt(deepen([1.4], planets)[:, 0]) * STAR
    height = find_limb(1.4, BARE | {"log_H2O": water[0]}).height
    assert np.diff(radii)[0] == pytest.approx(height * np.log(2), rel=5e-3)


def test_depths_shift_by_the_offset_and_scale_with_the_star(deepen):
    once = deepen(WAVELENGTHS, TRUTH)
    larger = deepen(WAVELENGTHS, TRUTH, 2 * STAR_RADIUS)
    np.testing.assert_allclose(4 * larger, once, rtol=1e-6)
    shifted = deepen(WAVELENGTHS, TRUTH | {"offset": 100.0})
    np.testing.assert_allclose(shifted - once, 100 * PPM, atol=0.02 * PPM)


def test_gradients_are_those_of_quadrature(host, limb):
    """In every parameter: central differences of the integral, at the synthetic planet."""
    wavelength = host.array(WAVELENGTHS[2:3])
    parameters = PARAMETERS[:-1]  # the last one inflates errors
    planet = {each.name: each.truth for each in parameters}
    found = differentiate(host, lambda given: limb.transit_depth(wavelength, given), planet)
    for each in parameters:
        step = 1e-3 * (each.high - each.low)
        below, above = (
            find_depth(1.4, TRUTH | {each.name: each.truth + side}) for side in (-step, step)
        )
        slope = (above - below) / (2 * step)
        scale = (each.high - each.low) / PPM
        expected = pytest.approx(slope * scale, rel=2e-3, abs=0.05)
        assert float(found[each.name]) * scale == expected, each.name


def test_the_model_has_uniform_parameters_and_one_spectrum(host, worked):
    sites = list_sites(host, worked("exoplanet").model, *make_grid())
    latent = {name for name, site in sites.items() if name in TRUTH and site["type"] == "sample"}
    assert latent == set(TRUTH)
    assert len(TRUTH) == 16
    for each in PARAMETERS:
        assert each.low < each.truth < each.high
    assert tuple(sites["depth"]["fn"].event_shape) == (131,)
    assert not [name for name, site in sites.items() if site["type"] == "plate"]


def test_the_readme_lists_the_parameters():
    text = Path(data.__file__).with_name("README.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert rows == [
        f"| `{each.name}` | {each.unit} | {each.low:g} to {each.high:g} | {each.truth:g} | "
        f"{each.meaning} |"
        for each in PARAMETERS
    ]


def test_the_density_is_that_of_scipy(host, worked):
    wavelength, error = make_grid(1.0, 2.0, 20)
    truth = find_depths(wavelength, TRUTH)
    depth = truth + error * np.random.default_rng(0).normal(size=len(error))
    given = (host.array(each) for each in (wavelength, error, depth))
    density = host.room.trace_density(worked("exoplanet").model, *given)
    z = np.random.default_rng(1).logistic(size=(3, 16)) / 2
    values = density.constrain(z)
    names = [site.name for site in density.sites]
    for draw in range(3):
        planet = {name: float(values[name][draw]) for name in names}
        for each in PARAMETERS:
            place = special.expit(z[draw, names.index(each.name)])
            inside = each.low + (each.high - each.low) * place
            assert planet[each.name] == pytest.approx(inside, rel=1e-4, abs=1e-4)
        spread = error * 10 ** planet["log_inflation"]
        expected = stats.norm.logpdf(depth, find_depths(wavelength, planet), spread).sum()
        expected += stats.logistic.logpdf(z[draw]).sum()
        assert density.log_p(z)[draw] == pytest.approx(expected, rel=1e-3, abs=0.05)


def test_simulated_planets_follow_the_priors_and_their_spectra_the_noise(host, worked):
    wavelength, error = make_grid(0.8, 5.0, 20)
    sites = host.random(worked("exoplanet").simulate, wavelength, error, count=2500)
    found = {name: np.asarray(values, dtype=float) for name, values in sites.items()}
    for each in PARAMETERS:
        law = stats.uniform(each.low, each.high - each.low)
        assert stats.kstest(found[each.name], law.cdf).pvalue > 1e-3, each.name
    assert np.isfinite(found["depth"]).all()
    spread = error * 10 ** found["log_inflation"][:, None]
    noise = (found["depth"] - found["mean_depth"]) / spread
    assert noise.shape == (2500, len(error))
    assert stats.kstest(noise[:, :20].ravel(), "norm").pvalue > 1e-3
    assert abs(np.corrcoef(noise[:, 0], noise[:, 1])[0, 1]) < 4 / np.sqrt(2500)


def test_simulated_spectra_are_those_of_their_planets(host, worked, deepen):
    wavelength, error = make_grid(0.8, 5.0, 20)
    # Chunks that do not divide the number.
    sites = host.random(worked("exoplanet").simulate, wavelength, error, count=7, chunk=3)
    found = {name: np.asarray(values, dtype=float) for name, values in sites.items()}
    for place in (0, 3, 6):
        planet = {name: found[name][place] for name in TRUTH}
        truth = find_depths(wavelength, planet)
        np.testing.assert_allclose(found["mean_depth"][place], truth, atol=0.1 * PPM)


def test_the_best_fit_follows_the_bands_of_wasp39b(worked):
    real = read_wasp39b()
    residuals = worked("exoplanet").fit_best(real.wavelength, real.error, real.depth, starts=1)
    assert real.depth.std() > 240 * PPM  # what a flat line leaves
    assert residuals.rms < 190
    assert residuals.inflation == pytest.approx(np.sqrt(residuals.reduced_chi2), rel=0.1)


def test_the_spectrum_of_wasp39b_is_that_of_its_authors():
    real = read_wasp39b()
    assert len(real.wavelength) == 132
    assert not real.dropped
    place = int(np.argmin(np.abs(real.wavelength - 0.8781)))
    assert real.depth[place] == pytest.approx(21139.242788563635e-6)
    assert real.error[place] == pytest.approx(46.96402193937459e-6)
    np.testing.assert_allclose(np.diff(real.edges[place])[0], 2 * 0.004898581320246398)


def test_the_search_finds_the_higher_of_two_peaks():
    peaks = np.array([[-1.5, 0.0], [1.5, 1.0]])

    def log_density(z):
        parts = np.log([0.2, 0.8]) - 0.5 * ((z[:, None] - peaks) ** 2).sum(-1) / 0.2
        share = special.softmax(parts, axis=-1)
        return special.logsumexp(parts, axis=-1), (share[:, :, None] * (peaks - z[:, None])).sum(
            1
        ) / 0.2

    density = Density(
        dim=2,
        sites=(Site("z", (2,), 0, 2),),
        log_density=log_density,
        log_p=lambda z: log_density(z)[0],
        constrain=lambda z: {"z": z},
        explain=lambda z: "",
    )
    np.testing.assert_allclose(find_mode(density), peaks[1], atol=1e-3)


def test_residuals_are_judged_in_ppm():
    found = Residuals.of([0.021, 0.0212], [1e-4, 2e-4], [0.0211, 0.0210], np.log10(2.0))
    assert found.rms == pytest.approx(np.sqrt((100**2 + 200**2) / 2))
    assert found.reduced_chi2 == pytest.approx(1.0)
    assert "2.00 times" in str(found)
    lines = compare_with_truth(
        {name: value + np.array([-1.0, 3.0]) for name, value in TRUTH.items()}
    )
    assert lines.count("+0.5 sd") == 16


def make_posterior(rng, count=300):
    wavelength, error = make_grid(1.0, 3.0, 20)
    values = {
        each.name: rng.normal(each.truth, (each.high - each.low) / 50, count)
        for each in PARAMETERS
    }
    flat = np.full(len(error), 0.021)
    values["mean_depth"] = flat + 1e-5 * rng.normal(size=(count, 1))
    draws = Draws(values, log_p=np.zeros(count), log_q=np.zeros(count))
    return wavelength, error, flat + 3e-4 * np.resize([1.0, -1.0], len(error)), draws


def test_the_picture_of_a_spectrum_tells_its_residuals():
    wavelength, error, depth, draws = make_posterior(np.random.default_rng(0))
    top, bottom = draw_spectrum(wavelength, error, depth, draws.values, title="a planet").axes
    assert top.get_title() == "a planet"
    assert "300 ppm rms" in bottom.get_title()
    residual = bottom.containers[0].lines[0].get_ydata()
    np.testing.assert_allclose(np.abs(residual), 300, atol=5)
    band = top.collections[0].get_paths()[0].get_extents()
    widest = 2 * 1.96 * error.max() * 10 ** TRUTH["log_inflation"] / PPM
    assert band.height == pytest.approx(widest, rel=0.25)


def test_the_corner_has_lines_at_the_truth():
    draws = make_posterior(np.random.default_rng(0))[-1]
    sites = ("radius", "log_H2O", "cloud_cover")
    figure = draw_corner({"fit": draws}, TRUTH, sites)
    axes = np.array(figure.axes).reshape(3, 3)
    upright = [line.get_xdata()[0] for line in axes[2, 1].lines]
    level = [line.get_ydata()[0] for line in axes[2, 1].lines]
    assert TRUTH["log_H2O"] in upright
    assert TRUTH["cloud_cover"] in level
    assert "log10" in axes[2, 1].get_xlabel()
    assert not draw_corner({"fit": draws}, None, sites).get_suptitle()
