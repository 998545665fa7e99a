"""Matrix factorization beside its peers: ``python benchmarks/factorization.py FOLDER``.

FOLDER holds MovieLens-100K: ``u.data``, ``u1.base``, ``u1.test`` and, for features, ``u.item``.
Peers that are not installed are left out: myfm, scikit-surprise, smurff and implicit.
"""

import argparse
import json
from collections.abc import Iterable
from math import log
from pathlib import Path
from typing import Any

import numpy as np
from contenders.on_ratings import PEERS
from measuring import measure
from side_information import compare_features, format_features
from tables import format_table, number

# What the slides' notebook reaches, its ELBO corrected by the terms of 2 pi.
SLIDES = {"rmse": (0.617, 0.01), "elbo": (-170_500, 1_500)}
RMSE, NLL, COVERED = 0.882, 1.257, (0.9, 0.01)
SWEEP_FACTORS = (16, 32, 64, 128)
FLOORS, ITERATIONS, MEMORY = 4.0, 1.5, 1.3
Figures = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--factors", type=int, nargs="+", default=(16, 32))
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=tuple(PEERS))
    parser.add_argument("--splits", type=int, default=3, help="random 90/10 splits")
    parser.add_argument("--sizes", type=int, nargs="*", default=(1_000_000, 2_000_000, 4_000_000))
    parser.add_argument("--json", type=Path, help="file to keep the figures in")
    options = parser.parse_args()
    folder = str(options.folder)
    kept = {
        "slides": measure("contenders.on_ratings:fit_slides", folder=folder),
        "accuracy": list(compare_accuracy(folder, options.factors, options.peers, options.splits)),
        "features": compare_features(folder),
        "sweeps": list(compare_sweeps()),
        "growth": [
            measure("contenders.on_ratings:sweep", count=size, num_factors=32)
            for size in options.sizes
        ],
    }
    print(
        "The slides' setting, all ratings, 20 factors, 10 sweeps\n" + format_slides(kept["slides"])
    )
    print("\nRandom 90/10 splits, means over seeds, and u1\n" + format_accuracy(kept["accuracy"]))
    print("\nFeatures of items, K = 16, means over seeds\n" + format_features(kept["features"]))
    print("\nA sweep at a million ratings, one thread\n" + format_sweeps(kept["sweeps"]))
    if len(kept["growth"]) > 1:
        print("\n" + format_growth(kept["growth"]))
    if options.json:
        options.json.write_text(json.dumps(kept, indent=1))


def compare_accuracy(
    folder: str, factors: Iterable[int], peers: Iterable[str], splits: int
) -> Iterable[Figures]:
    ours = "contenders.on_ratings:fit_ours"
    for num_factors in factors:
        common = {"folder": folder, "num_factors": num_factors}
        for name, settings in (("ours", {}), ("ours, diagonal", {"diagonal": True})):
            runs = [measure(ours, seed=seed, **common, **settings) for seed in range(splits)]
            yield {"system": name, "factors": num_factors, **average(runs)}
        yield {
            "system": "ours on u1",
            "factors": num_factors,
            **measure(ours, seed=None, **common),
        }
        for peer in peers:
            runs = [
                measure("contenders.on_ratings:fit_peer", seed=seed, peer=peer, **common)
                for seed in range(splits)
            ]
            yield {"system": peer, "factors": num_factors, **average(runs)}


def average(runs: list[Figures]) -> Figures:
    failed = [run for run in runs if "failure" in run]
    if failed:
        return failed[0]
    found = {key: float(np.mean([run[key] for run in runs])) for key in runs[0]}
    spread = np.std([run["rmse"] for run in runs], ddof=1) if len(runs) > 1 else np.nan
    return {**found, "rmse_error": float(spread / np.sqrt(len(runs)))}


def compare_sweeps() -> Iterable[Figures]:
    for num_factors in SWEEP_FACTORS:
        common = {"count": 1_000_000, "num_factors": num_factors}
        peer = measure("contenders.on_ratings:compare_iteration", **common)
        yield {
            "factors": num_factors,
            **measure("contenders.on_ratings:sweep", **common),
            "implicit": peer.get("cpu"),
        }


def judge(met: bool) -> str:
    return "met" if met else "NOT MET"


def format_slides(found: Figures) -> str:
    rows = [
        (name, number(found[name], 3), f"{wanted:g} +- {slack:g}",
         judge(abs(found[name] - wanted) <= slack))
        for name, (wanted, slack) in SLIDES.items()
    ]  # fmt: skip
    rise = found["least_rise"]
    rows.append(("least rise", f"{rise:.1e}", ">= -1e-8", judge(rise >= -1e-8)))
    return format_table(("figure", "found", "wanted", ""), rows)


def format_accuracy(found: list[Figures]) -> str:
    rows = []
    for each in found:
        verdict = "-"
        if each["system"] == "ours" and each["factors"] == 16:
            off = abs(each["most"] - COVERED[0])
            verdict = judge(each["rmse"] <= RMSE and each["nll"] <= NLL and off <= COVERED[1])
        figures = [number(each.get(key), 4) for key in ("rmse", "nll", "half", "most")]
        figures.insert(1, number(each.get("rmse_error"), 4))
        cells = (number(each.get("cpu")), number(each.get("sweeps"), 0))
        name = each["system"] + (f" ({each['failure']})" if "failure" in each else "")
        rows.append((name, str(each["factors"]), *figures, *cells, verdict))
    header = (
        "system",
        "K",
        "RMSE",
        "+-",
        "NLL",
        "in 50 %",
        "in 90 %",
        "CPU s",
        "sweeps",
        "target",
    )
    return format_table(header, rows)


def format_sweeps(found: list[Figures]) -> str:
    rows = []
    for each in found:
        floors = each["cpu"] / each["floor"]
        peer = each["implicit"]
        ratio = None if peer is None else each["cpu"] / peer
        memory, stars = (each[key] / each["wanted_memory"] for key in ("memory", "memory_stars"))
        bound = number(each["gather"] / each["floor"], 1)
        cells = (number(each["cpu"], 3), number(floors, 1), judge(floors <= FLOORS), bound,
                 number(ratio))  # fmt: skip
        against = "-" if ratio is None else judge(ratio <= ITERATIONS)
        rows.append(
            (
                str(each["factors"]),
                *cells,
                against,
                number(memory),
                number(stars),
                judge(stars <= MEMORY),
            )
        )
    header = ("K", "CPU s", "floors", "<= 4", "sums alone", "of implicit", "<= 1.5", "memory",
              "of half stars", "<= 1.3")  # fmt: skip
    return format_table(header, rows)


def format_growth(found: list[Figures]) -> str:
    first, last = found[0], found[-1]
    exponent = log(last["cpu"] / first["cpu"]) / log(last["count"] / first["count"])
    rows = [
        (f"{each['count']:,}", number(each["cpu"], 3), f"{each['memory'] / 2**30:.2f} GB")
        for each in found
    ]
    table = format_table(("ratings", "CPU s a sweep", "memory"), rows)
    return f"{table}\nexponent {exponent:.3f}: {judge(abs(exponent - 1) <= 0.05)} (1 +- 0.05)"


if __name__ == "__main__":
    main()
