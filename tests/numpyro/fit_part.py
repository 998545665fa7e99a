"""One process of a fit over several: ``fit_part.py ratings.csv folder part parts port``."""

import sys
from pathlib import Path

import jax
import numpy as np

from ppl_ext.factorization import MatrixFactorization, read_part
from ppl_ext.numpyro.factorization import fit_on_devices

MODEL = MatrixFactorization(2, dtype=np.float64, max_sweeps=6, tolerance=0, num_threads=1)


def main(path: str, folder: str, part: str, parts: str, port: str) -> None:
    if int(parts) > 1:
        jax.distributed.initialize(f"127.0.0.1:{port}", int(parts), int(part))
    ratings = read_part(path, int(part), int(parts), characters=2000)
    factors = fit_on_devices(MODEL, ratings)
    factors.save(Path(folder, f"{part}.safetensors"))


if __name__ == "__main__":
    main(*sys.argv[1:])
