"""Neural posteriors of exoplanets, and how fast spectra are drawn: ``benchmarks/exoplanet.py``.

In each host fresh processes, on one thread and in single precision as users get it, compiling what
they need within the time:

* draw planets and spectra from the priors of the worked model; the target is 100,000 in a minute;
* train a network on spectra of the instrument that has seen WASP-39b, and ask of spectra that are
  simulated afterwards how often central intervals of the sixteen parameters hold the truth, at
  every level (target: within 0.05 of it), and which share of the network's plain draws is left
  when the model's density weighs them (target: the median above 1 %); then correct the posterior
  of WASP-39b, whose median leaves residuals (target: below 250 ppm rms; a flat line leaves 247).
  All of it within 30 minutes on two cores.

``--smoke`` runs all of it in a minute, and meets no target.
"""

import argparse
import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from measuring import clock, measure
from tables import format_table, number

sys.path.append(str(Path(__file__).parents[1]))

SPEED = ("host", "spectra", "bins", "CPU s", "microseconds each", "target")
POSTERIORS = ("host", "spectra", "figure", "found", "target", "")
EACH = 60.0 / 100_000  # CPU seconds for a spectrum
GAP, EFFICIENCY, RMS, MINUTES = 0.05, 0.01, 250.0, 60.0  # minutes of CPU: 30 on two cores


def simulate(host: str, count: int) -> dict[str, Any]:
    """Draw planets and spectra once, everything imported, nothing compiled."""
    from models.exoplanet.data import make_grid

    program = importlib.import_module(f"models.exoplanet.on_{host}")
    wavelength, error = make_grid()

    def call() -> np.ndarray:
        if host == "numpyro":
            import jax

            sites = program.simulate(jax.random.key(0), wavelength, error, count)
        else:
            sites = program.simulate(wavelength, error, count)
        return np.asarray(sites["depth"])

    depth, seconds = clock(call)
    finite = bool(np.isfinite(depth).all())
    return {
        "seconds": seconds,
        "bins": depth.shape[1],
        "dtype": str(depth.dtype),
        "finite": finite,
    }


def learn(host: str, settings: dict[str, int], smoke: bool) -> dict[str, Any]:
    """Train a network, assess it, and correct its posterior of WASP-39b."""
    from dataclasses import replace

    from models.exoplanet.data import read_wasp39b
    from models.exoplanet.recipe import FULL, SMOKE

    program = importlib.import_module(f"models.exoplanet.amortized_on_{host}")
    if host == "numpyro":
        from jax.random import key as begin
    else:
        begin = int
    recipe = replace(SMOKE if smoke else FULL, **settings)
    real = read_wasp39b()
    began = time.process_time()
    npe, training = clock(
        lambda: program.learn(begin(0), real.wavelength, real.error, recipe, progress_bar=False)
    )
    assessment = program.assess(begin(1), npe, recipe)
    found = program.retrieve(begin(2), npe, real.error, real.depth, recipe)
    return {
        "spectra": recipe.spectra * len(npe.log.held_out),
        "training": npe.log.held_out[:, 0].tolist(),
        "gaps": {name: each.largest_gap for name, each in assessment.coverage.items()},
        "efficiency": assessment.efficiency.tolist(),
        "log_density": assessment.log_density,
        "real": str(found.corrected).splitlines(),
        "rms": found.residuals.rms,
        "training_seconds": training,
        "seconds": time.process_time() - began,
    }


def describe(host: str, found: dict[str, Any]) -> list[list[str]]:
    """Lines of the table of one host."""
    if "failure" in found:
        return [[host, "-", found["failure"], "-", "-", "NOT MET"]]
    name = max(found["gaps"], key=lambda each: abs(found["gaps"][each]))
    gap, efficiency = abs(found["gaps"][name]), float(np.median(found["efficiency"]))
    minutes, rms = found["seconds"] / 60, found["rms"]
    verdict = found["real"][0].removeprefix("verdict").strip()
    lines = [
        (f"largest gap of coverage ({name})", number(gap, 3), f"{GAP}", gap <= GAP),
        ("median efficiency, %", number(100 * efficiency), "1", efficiency > EFFICIENCY),
        (f"WASP-39b, ppm rms, {verdict}", number(rms, 0), f"{RMS:.0f}", rms < RMS),
        ("CPU minutes", number(minutes, 1), f"{MINUTES:.0f}", minutes <= MINUTES),
    ]  # fmt: skip
    spectra = f"{found['spectra']:,}"
    return [
        [host, spectra, figure, value, target, "met" if met else "NOT MET"]
        for figure, value, target, met in lines
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--hosts", nargs="+", choices=("numpyro", "pyro"), default=["numpyro", "pyro"]
    )
    parser.add_argument("--parts", nargs="+", choices=("speed", "posteriors"))
    parser.add_argument("--spectra", type=int, default=100_000, help="of the first part")
    parser.add_argument("--epochs", type=int, help="of the training, instead of the recipe's")
    parser.add_argument("--smoke", action="store_true", help="all of it, in a minute")
    parser.add_argument("--json", type=Path, help="where the results are kept")
    options = parser.parse_args()
    parts = options.parts or ("speed", "posteriors")
    single = {"JAX_ENABLE_X64": "0"}
    rows, lines, kept = [], [], []
    for host in options.hosts if "speed" in parts else ():
        count = 2000 if options.smoke else options.spectra
        found = measure("exoplanet:simulate", environment=single, host=host, count=count)
        kept.append({"host": host, "part": "speed", "spectra": count, **found})
        if "failure" in found:
            rows.append([host, str(count), *"---", found["failure"]])
            continue
        each = found["seconds"] / count
        met = "met" if each <= EACH and found["finite"] else "NOT MET"
        figures = [number(found["seconds"]), number(1e6 * each, 1)]
        rows.append([host, str(count), str(found["bins"]), *figures, met])
    for host in options.hosts if "posteriors" in parts else ():
        settings = {"epochs": options.epochs} if options.epochs else {}
        found = measure(
            *("exoplanet:learn",),
            **{"environment": single, "timeout": 7200, "host": host, "settings": settings},
            smoke=options.smoke,
        )
        kept.append({"host": host, "part": "posteriors", **found})
        lines += describe(host, found)
    for header, table in ((SPEED, rows), (POSTERIORS, lines)):
        if table:
            print(format_table(header, table), end="\n\n")
    if options.json:
        options.json.write_text(json.dumps(kept))


if __name__ == "__main__":
    main()
