"""Neural posteriors of exoplanets on NumPyro: ``python -m models.exoplanet.amortized_on_numpyro``.

One network answers for every spectrum of an instrument: here for the synthetic planet, seen by the
instrument that has seen WASP-39b, and for WASP-39b itself.
"""

import argparse
import functools
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

import ppl_ext.numpyro as px
from models.exoplanet.assessment import Assessment, measure_efficiency
from models.exoplanet.data import TRUTH, read_wasp39b
from models.exoplanet.embedding_on_numpyro import SpectrumEmbedding
from models.exoplanet.judging import Residuals, Retrieval, compare_with_truth
from models.exoplanet.on_numpyro import model, simulate
from models.exoplanet.picture import draw_corner, draw_coverage, draw_spectrum
from models.exoplanet.recipe import FULL, SMOKE, Recipe
from ppl_ext.calibration import Calibration


def learn(rng_key, wavelength, error, recipe: Recipe, progress_bar=True) -> px.NPE:
    """Train a network on spectra of one instrument, new ones in every epoch."""
    estimator = px.npe.FullRankGaussian
    if recipe.layers:
        estimator = functools.partial(
            px.flows.AutoregressiveFlow,
            num_layers=recipe.layers,
            hidden=(recipe.hidden, recipe.hidden),
        )
    embedding = functools.partial(SpectrumEmbedding, error=error)
    networks = {"estimator": estimator, "embedding": embedding}
    npe = px.NPE(model, wavelength, error, observed="depth", **networks)
    settings = px.npe.Training(max_epochs=recipe.epochs)
    return npe.train(
        rng_key, recipe.spectra, fresh=True, settings=settings, progress_bar=progress_bar
    )


def assess(rng_key, npe: px.NPE, recipe: Recipe) -> Assessment:
    """Compare posteriors of spectra that were simulated afterwards with their truths."""
    keys = jax.random.split(rng_key, 3)
    table = npe.simulate(keys[0], recipe.assessed, progress_bar=False)
    posteriors = npe.posterior(table.observed)
    truths = {name: value[:, None] for name, value in table.latent.items()}
    efficiency = []
    for depth in table.observed["depth"][: recipe.weighed]:
        draws = npe.posterior(depth).draws(keys[2], recipe.draws)
        efficiency.append(measure_efficiency(draws.log_p - draws.log_q))
    return Assessment(
        Calibration.from_draws(table.latent, posteriors.sample(keys[1], 100)),
        np.array(efficiency),
        float(posteriors.log_prob(truths).mean()),
    )


def retrieve(rng_key, npe: px.NPE, error, depth, recipe: Recipe) -> Retrieval:
    """Draw the posterior of one spectrum, and correct it by the model's density."""
    draw_key, correct_key = jax.random.split(rng_key)
    posterior = npe.posterior(depth)
    budget = px.Correction(ess=recipe.effective, max_gradients=recipe.gradients)
    corrected = posterior.correct(correct_key, budget, progress_bar=False)
    residuals = Residuals.of_draws(depth, error, corrected.draws.values)
    return Retrieval(posterior.draws(draw_key), corrected, residuals)


def observe(rng_key, wavelength, error):
    """Draw the spectrum of the synthetic planet as an instrument sees it."""
    return np.asarray(simulate(rng_key, wavelength, error, 1, planet=TRUTH)["depth"][0])


def main(argv: Sequence[str] | None = None) -> None:
    """Train a network, assess it, and print what it says of both planets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="on a few spectra, in seconds")
    parser.add_argument("--pictures", type=Path, help="folder for PNG files")
    options = parser.parse_args(argv)
    recipe = SMOKE if options.smoke else FULL

    real = read_wasp39b()
    instrument = real.wavelength, real.error
    npe = learn(jax.random.key(0), *instrument, recipe)
    assessment = assess(jax.random.key(1), npe, recipe)
    synthetic = observe(jax.random.key(2), *instrument)
    words = []
    for name, depth in (("synthetic", synthetic), ("WASP-39b", real.depth)):
        found = retrieve(jax.random.key(3), npe, real.error, depth, recipe)
        words.append(f"{name}, {found.corrected.verdict}, {found.residuals}")
        draws, truth = found.corrected.draws, TRUTH if name == "synthetic" else None
        if not options.smoke:
            print(f"{name}\n{found.corrected}")
            print(compare_with_truth(draws.values) if truth else "")
        if options.pictures:
            options.pictures.mkdir(parents=True, exist_ok=True)
            picture = draw_spectrum(*instrument, depth, draws.values, title=name)
            picture.savefig(options.pictures / f"{name}-amortized-spectrum.png", dpi=120)
            corner = draw_corner({"corrected": draws, "network": found.network}, truth)
            corner.savefig(options.pictures / f"{name}-amortized-corner.png", dpi=80)
    if options.pictures:
        draw_coverage(assessment).savefig(options.pictures / "coverage.png", dpi=100)
    print(f"neural posteriors of exoplanets on NumPyro: {assessment}; {'; '.join(words)}")


if __name__ == "__main__":
    main()
