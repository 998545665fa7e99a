"""Verdict against truth over many seeds: ``python benchmarks/honesty.py DATA_FOLDER``.

First the posteriors of posteriordb, easy and hard, as a user fits them; then densities outside
posteriordb whose moments are known in closed form, from Gaussians to faraway modes. A verdict is
wrong where the draws it calls good are worse than it promises: a mean off by 0.1 sd, the sd of a
raw draw by 15 % or that of a resampled one by 10 %. It is needless where it distrusts draws that
are better than that. The last columns are the worst errors over the
seeds, of all raw draws and of the draws that were called good.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from measuring import measure
from tables import format_table, number
from verdicts import OUTCOMES, find_recommended, summarize
from zoo import list_targets

EASY = ("kidscore", "mesquite", "arK", "garch11", "hmm", "diamonds", "radon_nc", "eight_nc")
HARD = ("eight_c", "radon_c", "gp_pois", "one_comp")
CASES = [
    *(("full rank", name) for name in EASY + HARD),
    ("mean field", "kidscore"),
]
CHUNK = 12
HEADER = ("target", "guide", *OUTCOMES, "raw: mean", "log sd", "trusted: mean", "log sd")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of the posteriordb files")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--host", choices=("numpyro", "pyro"), default="numpyro")
    parser.add_argument("--problems", nargs="*", default=EASY + HARD)
    parser.add_argument("--zoo", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    seeds = list(range(options.seeds))

    results: dict[str, list[dict[str, Any]]] = {}
    print(f"Verdicts in {options.host}, {len(seeds)} seeds each", flush=True)
    for guide, name in CASES:
        if name in options.problems:
            runs = judge_problem(options.host, options.data, name, guide, seeds)
            results[f"{name}, {guide}"] = runs
            print(f"  {name}, {guide}: {describe(runs)}", flush=True)
    if options.zoo:
        for guide in ("full rank", "mean field"):
            results |= judge_zoo(guide, seeds)
    print(format_report(results))
    if options.json:
        options.json.write_text(json.dumps(results))


def judge_problem(
    host: str, data: Path, name: str, guide: str, seeds: list[int]
) -> list[dict[str, Any]]:
    answer = measure(
        f"contenders.on_{host}:fit_ours", folder=str(data), name=name, guide=guide, seeds=seeds
    )
    return answer.get("runs", [answer] * len(seeds))


def judge_zoo(guide: str, seeds: list[int]) -> dict[str, list[dict[str, Any]]]:
    names = [target.name for target in list_targets()]
    results = {}
    for first in range(0, len(names), CHUNK):
        chunk = names[first : first + CHUNK]
        answer = measure(
            "contenders.on_density:fit_targets", names=chunk, guide=guide, seeds=seeds
        )
        runs = answer.get("runs", {name: [answer] * len(seeds) for name in chunk})
        for name in chunk:
            results[f"{name}, {guide}"] = runs[name]
            print(f"  {name}, {guide}: {describe(runs[name])}", flush=True)
    return results


def describe(runs: list[dict[str, Any]]) -> str:
    cells = zip(OUTCOMES, summarize(runs), strict=True)
    return "; ".join(f"{count} {outcome}" for outcome, count in cells if count)


def format_report(results: dict[str, list[dict[str, Any]]]) -> str:
    rows = []
    for case, runs in results.items():
        name, _, guide = case.rpartition(", ")
        raw = [run["raw"] for run in runs if "failure" not in run]
        trusted = [errors for errors in map(find_recommended, runs) if errors is not None]
        worst = [
            number(max((errors[key] for errors in part), default=None))
            for part in (raw, trusted)
            for key in ("mean_error", "sd_error")
        ]
        rows.append((name, guide, *summarize(runs), *worst))
    everything = [run for runs in results.values() for run in runs]
    rows.append(("all", "", *summarize(everything), *[""] * 4))
    return format_table(HEADER, rows)


if __name__ == "__main__":
    main()
