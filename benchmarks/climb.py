"""The climb of `fit`, no guide named, beside NUTS: ``python benchmarks/climb.py DATA_FOLDER``.

For each problem and host a fresh process fits with ten seeds and the settings that users get, and
draws. Worst mean error in posterior standard deviations and worst log sd ratio of the draws, over
the seeds; how many verdicts were good, and how many of them wrongly; the step that it came to; CPU
seconds from the call to the draws, compilation included (first seed) and without (median of the
others). Beside it four chains of the host's NUTS, 1,000 + 1,000 draws. At the end the targets.
"""

import argparse
import json
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

from measuring import measure
from problems.reference import NAMES
from tables import format_table, number

HEADER = (
    *("problem", "host", "mean", "log sd", "seeds within .1", "good", "wrongly", "came to"),
    *("gradients", "CPU s with compilation", "NUTS", "CPU s a run", "NUTS at this ESS"),
)
WANTED, TOLERATED = 0.1, (0.15, 0.2)

Result = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="folder of the posteriordb files")
    parser.add_argument("--problems", nargs="+", choices=NAMES, default=NAMES, metavar="NAME")
    parser.add_argument("--hosts", nargs="+", choices=("numpyro", "pyro"), default=["numpyro"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--nuts", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--timeout", type=float, default=1800, help="seconds for one process")
    parser.add_argument("--json", type=Path, help="where the results are kept")
    options = parser.parse_args()
    results: list[Result] = []
    for host in options.hosts:
        for name in options.problems:
            results.append(measure_problem(options, host, name))
            print(" ".join(cell.strip() for cell in format_row(results[-1])), flush=True)
            if options.json:
                options.json.write_text(json.dumps(results))
    print()
    print(format_table(HEADER, [format_row(result) for result in results]))
    print()
    print(format_targets([result for result in results if "runs" in result]))


def measure_problem(options: argparse.Namespace, host: str, name: str) -> Result:
    arguments = {"folder": options.data, "name": name, "timeout": options.timeout}
    answer = measure(
        f"contenders.climb_on_{host}:climb", seeds=list(range(options.seeds)), **arguments
    )
    result = {"problem": name, "host": host, **answer}
    if options.nuts:
        result["nuts"] = measure(f"contenders.climb_on_{host}:sample", seed=0, **arguments)
    return result


def worst(run: Result) -> float:
    return max(run["accuracy"]["mean_error"], run["accuracy"]["sd_error"])


def is_wrong(run: Result) -> bool:
    """Whether draws were called good that are not."""
    mean_limit, sd_limit = TOLERATED
    errors = run["accuracy"]
    off = errors["mean_error"] > mean_limit or errors["sd_error"] > sd_limit
    return run["verdict"] == "good" and off


def time_run(runs: list[Result]) -> float:
    """CPU seconds without compilation: of all seeds but the first, which compiles."""
    return median(run["cpu"] for run in runs[1:] or runs)


def time_nuts(result: Result) -> tuple[float | None, float | None]:
    """CPU seconds of NUTS with compilation, and of one run at our effective number of draws."""
    nuts = result.get("nuts", {})
    if "cpu" not in nuts:
        return None, None
    share = median(run["ess"] for run in result["runs"]) / nuts["ess"]
    return nuts["first_cpu"], nuts["cpu"] * share


def format_row(result: Result) -> tuple[str, ...]:
    key = (result["problem"], result["host"])
    if "failure" in result:
        return (*key, *[""] * 5, "failed: " + result["failure"], *[""] * 5)
    runs = result["runs"]
    good = [run for run in runs if run["verdict"] == "good"]
    nuts, nuts_run = time_nuts(result)
    return (
        *key,
        number(max(run["accuracy"]["mean_error"] for run in runs)),
        number(max(run["accuracy"]["sd_error"] for run in runs)),
        f"{sum(worst(run) <= WANTED for run in runs)} of {len(runs)}",
        str(len(good)),
        str(sum(map(is_wrong, runs)) or ""),
        Counter(run["step"] for run in runs).most_common(1)[0][0],
        f"{median(run['gradients'] for run in runs):,.0f}",
        number(runs[0]["cpu"]),
        number(nuts),
        number(time_run(runs)),
        number(nuts_run),
    )


def format_targets(results: list[Result]) -> str:
    lines = []
    for host in sorted({result["host"] for result in results}):
        mine = [result for result in results if result["host"] == host]
        missed = [
            result["problem"]
            for result in mine
            if median(worst(run) for run in result["runs"]) > WANTED
        ]
        wrong = sum(is_wrong(run) for result in mine for run in result["runs"])
        lines += [
            f"{host}: median seed within {WANTED} on {len(mine) - len(missed)} of {len(mine)}"
            f"; missed: {', '.join(missed) or 'none'}",
            f"{host}: wrongly called good: {wrong}",
        ]
        timed = [(result, *time_nuts(result)) for result in mine]
        timed = [each for each in timed if each[1] is not None]
        if timed:
            quarter = sum(result["runs"][0]["cpu"] <= nuts / 4 for result, nuts, _ in timed)
            ahead = sum(result["runs"][0]["cpu"] < nuts for result, nuts, _ in timed)
            faster = sum(time_run(result["runs"]) < run for result, _, run in timed)
            lines += [
                f"{host}: at most a quarter of NUTS, compilation included, on {quarter} of "
                f"{len(timed)}; ahead on {ahead}",
                f"{host}: a run ahead of NUTS at equal effective number on {faster}",
            ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
