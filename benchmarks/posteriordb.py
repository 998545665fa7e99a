"""Twelve posteriors with published references: ``python benchmarks/posteriordb.py DATA_FOLDER``.

For each problem, guide and host: errors of the means in posterior standard deviations and of the
log standard deviations, of raw and of importance-resampled draws, k-hat, effective sample size,
ELBO, verdict, gradients and CPU seconds with and without compilation; beside the host's automatic
guides with Adam and the host's NUTS, each in a fresh single-threaded process. At the end the
targets, met or not. ``--json`` keeps the rows; ``benchmarks/targets.py`` reads them again.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from measuring import measure
from problems.reference import NAMES
from tables import format_table, number
from targets import format_targets

GUIDES = {"full-rank": "full rank", "mean-field": "mean field"}
SHORT, LONG = (1e-2, 10_000), (1e-3, 50_000)
HEADER = (
    *("problem", "guide", "host", "method"),
    *("raw: mean", "average", "log sd", "resampled: mean", "log sd"),
    *("k-hat", "ESS", "ELBO", "verdict", "gradients", "CPU s", "with compilation"),
)

Row = dict[str, Any]


def main() -> None:
    options = parse_arguments()
    rows: list[Row] = []
    for row in measure_all(options):
        rows.append(row)
        print(" ".join(cell.strip() for cell in format_row(row)), flush=True)
        if options.json:
            options.json.write_text(json.dumps(rows))
    print()
    print(format_table(HEADER, [format_row(row) for row in rows]))
    print()
    print(format_targets(rows))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    switch = argparse.BooleanOptionalAction
    parser.add_argument("data", help="folder of the posteriordb files")
    parser.add_argument("--problems", nargs="+", choices=NAMES, default=NAMES, metavar="NAME")
    parser.add_argument("--hosts", nargs="+", choices=("numpyro", "pyro"))
    parser.add_argument("--guides", nargs="+", choices=GUIDES, default=tuple(GUIDES))
    parser.add_argument("--seeds", type=int, default=3, help="fits of ours, of each problem")
    parser.add_argument("--repeats", type=int, default=1, help="fresh processes, for medians")
    parser.add_argument("--json", type=Path, help="where the rows are kept")
    parser.add_argument("--peers", action=switch, default=True, help="the host's guides and NUTS")
    parser.add_argument("--long-pyro", action=switch, default=False, help="50,000 steps there too")
    parser.add_argument("--nuts", nargs="*", choices=NAMES, default=NAMES, metavar="NAME")
    parser.add_argument("--pyro-nuts", nargs="*", choices=NAMES, default=["eight_nc"])
    parser.add_argument("--draws", type=int, default=2000, help="draws of NUTS, half for warm-up")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds for one process")
    options = parser.parse_args()
    options.hosts = options.hosts or ("numpyro", "pyro")
    return options


def measure_all(options: argparse.Namespace) -> Iterator[Row]:
    for name in options.problems:
        for host in options.hosts:
            for guide in (GUIDES[key] for key in options.guides):
                yield from measure_ours(options, name, host, guide)
                if options.peers:
                    yield from measure_host(options, name, host, guide)
            wanted = options.nuts if host == "numpyro" else options.pyro_nuts
            if options.peers and name in wanted:
                yield measure_nuts(options, name, host)


def measure_ours(options: argparse.Namespace, name: str, host: str, guide: str) -> Iterator[Row]:
    arguments = {"folder": options.data, "name": name, "guide": guide}
    answers = repeat(
        options, f"contenders.on_{host}:fit_ours", **arguments, seeds=list(range(options.seeds))
    )
    key = {"problem": name, "guide": guide, "host": host, "method": "ours"}
    failure = next((answer for answer in answers if "failure" in answer), None)
    if failure:
        yield {**key, "seed": 0, **failure}
        return
    first_cpu = median(answer["first_cpu"] for answer in answers)
    for seed, runs in enumerate(zip(*(answer["runs"] for answer in answers), strict=True)):
        cpu = median(run["cpu"] for run in runs)
        yield {**key, "seed": seed, **runs[0], "cpu": cpu, "first_cpu": first_cpu}


def measure_host(options: argparse.Namespace, name: str, host: str, guide: str) -> Iterator[Row]:
    for rate, steps in (SHORT, LONG):
        if host == "pyro" and (rate, steps) == LONG and not options.long_pyro:
            continue
        answers = repeat(
            options,
            f"contenders.on_{host}:fit_host",
            **{"folder": options.data, "name": name, "guide": guide},
            **{"seed": 0, "rate": rate, "steps": steps},
        )
        times = {
            key: median(answer[key] for answer in answers)
            for key in ("cpu", "first_cpu")
            if all(key in answer for answer in answers)
        }
        method = f"Adam {rate:g}, {steps:,} steps"
        key = {"problem": name, "guide": guide, "host": host, "method": method, "seed": 0}
        yield {**key, **answers[0], **times}


def measure_nuts(options: argparse.Namespace, name: str, host: str) -> Row:
    answer = measure(
        f"contenders.on_{host}:run_nuts",
        timeout=options.timeout,
        **{"folder": options.data, "name": name, "seed": 0},
        **{"warmup": options.draws // 2, "num_draws": options.draws},
    )
    return {"problem": name, "guide": "", "host": host, "method": "NUTS", "seed": 0, **answer}


def repeat(options: argparse.Namespace, function: str, **arguments: Any) -> list[dict[str, Any]]:
    return [
        measure(function, timeout=options.timeout, **arguments) for _ in range(options.repeats)
    ]


def format_row(row: Row) -> tuple[str, ...]:
    method = f"ours, seed {row['seed']}" if row["method"] == "ours" else row["method"]
    key = (row["problem"], row["guide"], row["host"], method)
    if "failure" in row:
        return (*key, *[""] * 8, "failed: " + row["failure"], "", "", "")
    raw, resampled = row["raw"], row.get("resampled", {})
    return (
        *key,
        *(number(raw[error]) for error in ("mean_error", "average_mean_error", "sd_error")),
        *(number(resampled.get(error)) for error in ("mean_error", "sd_error")),
        number(row.get("khat")),
        number(row.get("ess")),
        number(row.get("elbo")),
        row.get("verdict", ""),
        f"{row['gradients']:,}",
        number(row.get("cpu")),
        number(row.get("first_cpu")),
    )


if __name__ == "__main__":
    main()
