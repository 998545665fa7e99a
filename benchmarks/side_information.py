"""What features of items are worth, as a part of ``benchmarks/factorization.py``."""

from pathlib import Path
from typing import Any

import numpy as np
from contenders.on_features import FEATURES
from measuring import measure
from tables import format_table, number

__all__ = ["compare_features", "format_features"]

SEEDS = (0, 1, 2)
Figures = dict[str, Any]


def compare_features(folder: str) -> list[Figures]:
    """Known items, new items and simulated ones, over seeds."""
    found = []
    if Path(folder, "u.item").exists():
        for task in ("fit_known", "fit_new"):
            for kind in FEATURES:
                runs = [
                    measure(f"contenders.on_features:{task}", folder=folder, seed=seed, kind=kind)
                    for seed in SEEDS
                ]
                found.append({"task": task, "features": kind, **average(runs)})
    runs = [measure("contenders.on_features:fit_simulated", seed=seed) for seed in SEEDS]
    return [*found, {"task": "fit_simulated", "features": "10 of signal", **average(runs)}]


def average(runs: list[Figures]) -> Figures:
    failed = [run for run in runs if "failure" in run]
    if failed:
        return failed[0]
    return {key: float(np.mean([run[key] for run in runs])) for key in runs[0]}


def format_features(found: list[Figures]) -> str:
    names = {
        "fit_known": "known items", "fit_new": "new items", "fit_simulated": "new, simulated",
    }  # fmt: skip
    rows = []
    for each in found:
        figures = [number(each.get(key), 4) for key in ("rmse", "nll", "most")]
        limits = [number(each.get(key), 4) for key in ("optimum", "users alone")]
        name = names[each["task"]] + (f" ({each['failure']})" if "failure" in each else "")
        rows.append((name, each["features"], *figures, *limits, number(each.get("cpu"))))
    header = (
        "items", "features", "RMSE", "NLL", "in 90 %", "optimum", "users alone", "CPU s",
    )  # fmt: skip
    return format_table(header, rows)
