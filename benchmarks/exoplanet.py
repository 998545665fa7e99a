"""Seconds to draw planets and their spectra: ``python benchmarks/exoplanet.py``.

In each host a fresh process draws from the priors of the worked model on one thread, in single
precision as users get it, and compiles what it needs within the time. The target is 100,000
spectra in a minute.
"""

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from measuring import clock, measure
from tables import format_table, number

sys.path.append(str(Path(__file__).parents[1]))

HEADER = ("host", "spectra", "bins", "CPU s", "microseconds each", "target")
TARGET = 60.0 / 100_000  # CPU seconds for a spectrum


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--hosts", nargs="+", choices=("numpyro", "pyro"), default=["numpyro", "pyro"]
    )
    parser.add_argument("--spectra", type=int, default=100_000)
    parser.add_argument("--json", type=Path, help="where the results are kept")
    options = parser.parse_args()
    rows, kept = [], []
    for host in options.hosts:
        single = {"JAX_ENABLE_X64": "0"}
        found = measure("exoplanet:simulate", environment=single, host=host, count=options.spectra)
        kept.append({"host": host, "spectra": options.spectra, **found})
        if "failure" in found:
            rows.append([host, str(options.spectra), *"---", found["failure"]])
            continue
        each = found["seconds"] / options.spectra
        met = "met" if each <= TARGET and found["finite"] else "NOT MET"
        figures = [number(found["seconds"]), number(1e6 * each, 1)]
        rows.append([host, str(options.spectra), str(found["bins"]), *figures, met])
    print(format_table(HEADER, rows))
    if options.json:
        options.json.write_text(json.dumps(kept))


if __name__ == "__main__":
    main()
