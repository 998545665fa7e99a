"""Precision and throughput of the discrete family, and its gradient estimators, beside the hosts.

``python benchmarks/discrete.py [--rows 4096] [--classes 1000] [--draws 1000000]
[--estimates 20000] [--json FILE]``
runs each host in a process of its own on one thread. Times are the least CPU time of several runs,
ours and the host's in turn in the same process, so that ratios hold on a busy machine. The peer of
ReinMax is the package reinmax where it is installed, otherwise the host's straight-through.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from measuring import measure
from tables import format_table, number

__all__ = ["compare_times", "extremes_of"]

TEMPERATURES = (0.01, 0.05, 0.2, 1.0, 20.0)
TARGETS = {
    "pyro": {
        "Gumbel noise": 0.4,
        "relaxed draw, forward and backward": 0.55,
        "the same with its log density": 0.7,
        "straight-through, forward and backward": 0.25,
        "ReinMax, forward and backward": 0.25,
        "ReinMax at temperature 1.1": 0.25,
        "hard Gumbel-softmax, forward and backward": None,
        "Gumbel-Rao, 1 draw": 1.35,
        "Gumbel-Rao, 10 draws": 4.5,
        "categorical draw": 0.15,
    },
    "numpyro": {
        "Gumbel noise": 1.1,
        "relaxed draw, forward and backward": 1.1,
        "straight-through, forward and backward": None,
        "ReinMax, forward and backward": None,
        "Gumbel-Rao, 1 draw": 1.35,
        "Gumbel-Rao, 10 draws": 4.5,
        "categorical draw": 0.1,
    },
}


def compare_times(pairs, repeats: int = 15) -> dict[str, list[float]]:
    """Time pairs of calls in turn: {row: [our CPU milliseconds, the host's]}."""
    times = {}
    for row, calls in pairs.items():
        best = [np.inf, np.inf]
        for call in calls:
            call()
        for _ in range(repeats):
            for side, call in enumerate(calls):
                began = time.process_time()
                call()
                best[side] = min(best[side], 1e3 * (time.process_time() - began))
        times[row] = best
    return times


def extremes_of(log_prob: np.ndarray, value: np.ndarray) -> dict[str, float]:
    """Share of finite densities, and the largest error of the sums of draws."""
    return {
        "finite": float(np.isfinite(log_prob).mean()),
        "sum": float(np.abs(value.astype(float).sum(-1) - 1).max()),
    }


def finite_plan(draws: int) -> list[tuple[int, float, int]]:
    """Classes, scale of the logits and draws: a tenth of the numbers for each hundredfold."""
    plan = [(10, 1.0, draws), (10, 100.0, draws), (1000, 100.0, draws // 100)]
    plan.append((10_000, 100.0, draws // 1000))
    return [(classes, scale, max(count, 1)) for classes, scale, count in plan]


def verdict(met: bool) -> str:
    return "met" if met else "NOT MET"


def show(host: str, found: dict) -> None:
    print(f"\n{host}: CPU milliseconds, one thread")
    rows = []
    for row, (ours, theirs) in found["times"].items():
        target = TARGETS[host].get(row)
        ratio = ours / theirs
        met = "-" if target is None else verdict(ratio <= target)
        rows.append([row, *(number(each, 3) for each in (ours, theirs, ratio, target)), met])
    print(format_table(["row", "ours", "host", "ratio", "target", ""], rows))
    print(f"\n{host}: precision against mpmath and float64 sums")
    rows = [
        [name, f"{value:.3g}", f"{'>=' if least else '<='} {target:g}", verdict(met)]
        for name, value, target, least in found["precision"]
        for met in [value >= target if least else value <= target]
    ]
    print(format_table(["quantity", "found", "target", ""], rows))
    print(f"\n{host}: own draws, float32")
    header = ["distribution", "temperature", "classes", "scale", "draws", "finite", "sum error"]
    rows = [
        [name, *(f"{each:g}" for each in where), f"{got['finite']:.6f}", f"{got['sum']:.1e}"]
        for name, *where, got in found["draws"]
    ]
    print(format_table(header, rows))
    share = min(got["finite"] for *_, got in found["draws"])
    error = max(got["sum"] for *_, got in found["draws"])
    print(f"finite densities of own draws: {share:.6f}, target 1: {verdict(share == 1)}")
    print(f"error of sums: {error:.1e}, target 5e-07: {verdict(error <= 5e-7)}")
    for problem, report in found["estimators"]:
        print(f"\n{host}: {problem}\n{report}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=1_000_000)
    parser.add_argument("--estimates", type=int, default=20_000)
    parser.add_argument("--hosts", nargs="+", default=["pyro", "numpyro"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    sizes = {
        "rows": options.rows,
        "classes": options.classes,
        "draws": options.draws,
        "estimates": options.estimates,
    }
    found = {}
    for host in options.hosts:
        found[host] = measure(f"contenders.discrete_on_{host}:run", **sizes)
        if "failure" in found[host]:
            raise SystemExit(f"{host}: {found[host]['failure']}")
        show(host, found[host])
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
