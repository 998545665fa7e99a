"""The exoplanet on Pyro: ``python -m models.exoplanet.on_pyro``."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyro
import pyro.distributions as dist
import torch

import ppl_ext.pyro as px
from models.exoplanet.data import PARAMETERS, STAR_RADIUS, TRUTH, make_grid, read_wasp39b
from models.exoplanet.judging import Residuals, compare_with_truth
from models.exoplanet.limb_on_pyro import transit_depth
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
    wavelength, error = _as_tensors(wavelength, error)
    values = {
        each.name: pyro.sample(each.name, dist.Uniform(each.low, each.high)) for each in PARAMETERS
    }
    mean = transit_depth(wavelength, values, star_radius)
    pyro.deterministic("mean_depth", mean, event_dim=1)
    inflation = 10 ** values["log_inflation"][..., None]
    # One event and no plate: the bins of a spectrum are not exchangeable.
    pyro.sample("depth", dist.Normal(mean, error * inflation).to_event(1), obs=depth)


def _as_tensors(*arrays):
    return [torch.as_tensor(each, dtype=torch.get_default_dtype()) for each in arrays]


def simulate(wavelength, error, count, *, chunk=1000, planet=None):
    """Draw spectra, of planets from the priors.

    Args:
        wavelength: ``[bin]``, micrometres.
        error: ``[bin]``, fractions.
        count: Number of spectra.
        chunk: Spectra that are computed at a time.
        planet: ``{name: value}`` of parameters that are not drawn.

    Returns:
        ``{site: tensor[count, ...]}``.
    """
    parts = []
    for size in np.diff([*range(0, count, chunk), count]).tolist():
        given = {name: torch.full((size,), value) for name, value in (planet or {}).items()}
        program = pyro.poutine.condition(model, data=given)
        with torch.no_grad(), pyro.plate("planet", size):
            nodes = pyro.poutine.trace(program).get_trace(wavelength, error).nodes
        sites = {name: node for name, node in nodes.items() if node["type"] == "sample"}
        parts.append({name: site["value"] for name, site in sites.items()})
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def make_synthetic(seed):
    """Draw the spectrum of the synthetic planet: wavelengths, errors and depths."""
    wavelength, error = _as_tensors(*make_grid())
    with torch.random.fork_rng():
        pyro.set_rng_seed(seed)
        depth = simulate(wavelength, error, 1, planet=TRUTH)["depth"][0]
    return wavelength, error, depth


def fit_best(wavelength, error, depth, starts=4) -> Residuals:
    """Find the best fit to a spectrum, and what it leaves over."""
    density = px.trace_density(model, wavelength, error, depth)
    best = density.constrain(find_mode(density, starts=starts)[None])
    return Residuals.of(depth, error, best["mean_depth"][0], best["log_inflation"][0])


def retrieve(seed, wavelength, error, depth, progress_bar=True):
    """Fit the posterior, and draw from it: the fit and its draws."""
    # The usual budget of five million gradients ends some of these fits before they are good.
    climb = px.Correction(max_gradients=20_000_000)
    spectrum = wavelength, error, depth
    fit = px.fit(model, *spectrum, climb=climb, progress_bar=progress_bar, seed=seed)
    return fit, fit.draws(seed=seed)


def main(argv: Sequence[str] | None = None) -> None:
    """Fit a synthetic spectrum and that of WASP-39b, and print what the best fits leave over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="the best fits only")
    parser.add_argument("--pictures", type=Path, help="folder for PNG files of the posteriors")
    options = parser.parse_args(argv)

    synthetic = make_synthetic(0)
    real = read_wasp39b()
    observed = tuple(_as_tensors(real.wavelength, real.error, real.depth))
    if not options.smoke:
        found = {}
        for name, spectrum in (("synthetic", synthetic), ("WASP-39b", observed)):
            fit, draws = retrieve(1, *spectrum)
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
        f"exoplanet on Pyro: synthetic planet, {fit_best(*synthetic, starts)}; "
        f"WASP-39b, {fit_best(*observed, starts)}"
    )


if __name__ == "__main__":
    main()
