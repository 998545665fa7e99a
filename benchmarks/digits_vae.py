"""The digits autoencoder by estimator: nats a test image, beside independent pixels.

``python benchmarks/digits_vae.py [--seeds 3] [--hosts pyro numpyro] [--json FILE]`` trains
``models/digits_vae`` with each estimator and scores the bound of 100 hard draws.
"""

import argparse
import json
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np
from tables import format_table, number

__all__ = ["measure_host"]

# Nats a test image; what others are measured beside has no target.
TARGETS = {"ReinMax(1.0)": 20.1, "ReinMax(1.3)": 20.1, "LeaveOneOut(4)": 19.9}


def measure_host(host: str, seeds: int) -> list[dict]:
    """Train once for each estimator and seed."""
    program = import_module(f"models.digits_vae.on_{host}")
    estimators = import_module(f"ppl_ext.{host}").estimators
    contenders = {
        "ReinMax(1.0)": estimators.ReinMax(1.0),
        "ReinMax(1.3)": estimators.ReinMax(1.3),
        "LeaveOneOut(4)": estimators.LeaveOneOut(4),
        "StraightThrough()": estimators.StraightThrough(),
        "GumbelSoftmax(0.5)": estimators.GumbelSoftmax(0.5),
    }
    rows = []
    for name, estimator in contenders.items():
        began = time.process_time()
        nats = [program.score(estimator, seed) for seed in range(seeds)]
        seconds = (time.process_time() - began) / seeds
        rows.append({"host": host, "estimator": name, "nats": nats, "seconds": seconds})
        print(format_row(rows[-1]), file=sys.stderr)
    return rows


def format_row(row: dict) -> list[str]:
    """Mean and standard deviation over the seeds, and the target."""
    nats, target = np.array(row["nats"]), TARGETS.get(row["estimator"])
    met = "-" if target is None else "met" if nats.mean() <= target else "NOT MET"
    spread = number(nats.std(ddof=1)) if len(nats) > 1 else "-"
    figures = [number(nats.mean()), spread, number(target, 1), number(row["seconds"], 0)]
    return [row["host"], row["estimator"], *figures, met]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--hosts", nargs="+", default=["numpyro", "pyro"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = [row for host in options.hosts for row in measure_host(host, options.seeds)]
    header = ["host", "estimator", "nats", "sd", "target", "CPU s", ""]
    print(format_table(header, [format_row(row) for row in rows]))
    data = import_module("models.digits_vae.data")
    print(f"independent pixels: {data.score_pixels():.2f} nats")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    main()
