"""The exoplanet on NumPyro: ``python -m models.exoplanet.on_numpyro``."""

import argparse
import functools
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

import ppl_ext.numpyro as px
from models.exoplanet.data import PARAMETERS, STAR_RADIUS, TRUTH, make_grid, read_wasp39b
from models.exoplanet.judging import Residuals, compare_with_truth
from models.exoplanet.limb_on_numpyro import transit_depth
from models.exoplanet.picture import draw_corner, draw_spectrum
from models.exoplanet.search import find_mode


def model(wavelength, error, depth=None, star_radius=STAR_RADIUS):
    """Sixteen uniform parameters of a planet, and its spectrum with noise.

    Args:
        wavelength: ``[bin]``, micrometres.
        error: ``[bin]``, stated errors of the depths, fractions of the star's light.
        depth: ``[bin]``, transit depths, fractions; None simulates them.
        star_radius: Of the Sun.
    """
    wavelength, error = jnp.asarray(wavelength), jnp.asarray(error)
    values = {
        each.name: numpyro.sample(each.name, dist.Uniform(each.low, each.high))
        for each in PARAMETERS
    }
    mean = numpyro.deterministic("mean_depth", transit_depth(wavelength, values, star_radius))
    inflation = 10 ** values["log_inflation"][..., None]
    # One event and no plate: the bins of a spectrum are not exchangeable.
    numpyro.sample("depth", dist.Normal(mean, error * inflation).to_event(1), obs=depth)


@functools.partial(jax.jit, static_argnames=("count", "chunk"))
def simulate(rng_key, wavelength, error, count, *, chunk=1000, planet=None):
    """Draw spectra, of planets from the priors.

    Args:
        rng_key: Random key.
        wavelength: ``[bin]``, micrometres.
        error: ``[bin]``, fractions.
        count: Number of spectra.
        chunk: Spectra that are computed at a time.
        planet: ``{name: value}`` of parameters that are not drawn.

    Returns:
        ``{site: array[count, ...]}``.
    """
    program = numpyro.handlers.substitute(model, data=planet or {})

    def draw(key):
        trace = numpyro.handlers.trace(numpyro.handlers.seed(program, key))
        sites = trace.get_trace(wavelength, error)
        return {name: site["value"] for name, site in sites.items()}

    return jax.lax.map(draw, jax.random.split(rng_key, count), batch_size=chunk)


def make_synthetic(seed):
    """Draw the spectrum of the synthetic planet: wavelengths, errors and depths."""
    wavelength, error = make_grid()
    sites = simulate(jax.random.key(seed), wavelength, error, 1, planet=TRUTH)
    return wavelength, error, np.asarray(sites["depth"][0])


def fit_best(wavelength, error, depth, starts=4) -> Residuals:
    """Find the best fit to a spectrum, and what it leaves over."""
    density = px.trace_density(model, wavelength, error, depth)
    best = density.constrain(find_mode(density, starts=starts)[None])
    return Residuals.of(depth, error, best["mean_depth"][0], best["log_inflation"][0])


def retrieve(rng_key, wavelength, error, depth, progress_bar=True):
    """Fit the posterior, and draw from it: the fit and its draws."""
    fit_key, draw_key = jax.random.split(rng_key)
    # The usual budget of five million gradients ends some of these fits before they are good.
    climb = px.Correction(max_gradients=20_000_000)
    spectrum = wavelength, error, depth
    fit = px.fit(fit_key, model, *spectrum, climb=climb, progress_bar=progress_bar)
    return fit, fit.draws(draw_key)


def main(argv: Sequence[str] | None = None) -> None:
    """Fit a synthetic spectrum and that of WASP-39b, and print what the best fits leave over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="the best fits only")
    parser.add_argument("--pictures", type=Path, help="folder for PNG files of the posteriors")
    options = parser.parse_args(argv)

    synthetic = make_synthetic(0)
    real = read_wasp39b()
    observed = real.wavelength, real.error, real.depth
    if not options.smoke:
        found = {}
        for name, spectrum in (("synthetic", synthetic), ("WASP-39b", observed)):
            fit, draws = retrieve(jax.random.key(1), *spectrum)
            print(f"{name}\n{fit.report()}")
            found[name] = draws
            if options.pictures:
                options.pictures.mkdir(parents=True, exist_ok=True)
                picture = draw_spectrum(*spectrum, draws.values, title=name)
                picture.savefig(options.pictures / f"{name}-spectrum.png", dpi=120)
                corner = draw_corner({"fit": draws}, TRUTH if name == "synthetic" else None)
                corner.savefig(options.pictures / f"{name}-corner.png", dpi=80)
        print(compare_with_truth(found["synthetic"].values))
    starts = 1 if options.smoke else 4
    print(
        f"exoplanet on NumPyro: synthetic planet, {fit_best(*synthetic, starts)}; "
        f"WASP-39b, {fit_best(*observed, starts)}"
    )


if __name__ == "__main__":
    main()
