"""What goes wrong around a fit, and what comes of it: ``python benchmarks/faults.py``.

Files of every kind are damaged at random; trainings, checkpoints, factorizations and simulations
are killed and interrupted at random moments and started again; disks are full, memory is short,
data turn into NaN, fits share threads, processes fork. Each runs in processes of its own. The last
column says whether all went as `docs/reliability.md` promises.

With ``--json FILE`` each row is a line of FILE at once: called again, what is there is not run
again.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from measuring import measure
from tables import format_table

HOSTS = ("numpyro", "pyro")
FILES = (
    *("saved factors", "saved fit", "saved NPE", "checkpoint", "simulation table"),
    *("ratings, .csv", "ratings, tabs", "ratings, colons", "ratings, JSON", "features of items"),
    *("FCS", "gates of cells", "spectrum, ECSV", "spectrum, columns", "images, .npz"),
    "images, idx",
)
DAMAGES = 100  # of each kind of file, for each time of the other faults
GROUPS = ("damage", "kill", "Ctrl-C", "full disk", "little memory", "NaN", "threads", "fork")

Row = dict[str, Any]


def list_faults(hosts: list[str], times: int) -> Iterator[tuple[str, str, str, Row]]:
    """Fault, part, function and its arguments."""
    for name in FILES:
        arguments = {"name": name, "times": DAMAGES * times}
        yield "damage", name, "mishaps.damaged_files:try_damages", arguments
    for part in ("checkpoint", "factorize", "simulation"):
        arguments = {"part": part, "host": "none", "times": times}
        yield "kill", part, "mishaps.signals:kill", arguments
        if part == "factorize":
            yield "Ctrl-C", part, "mishaps.signals:interrupt", arguments
    for what in ("a saved fit", "a checkpoint", "a table"):
        arguments = {"what": what, "times": times}
        yield "full disk", what, "mishaps.limits:fill_disk", arguments
    few = {"times": max(1, times // 10)}
    yield "little memory", "factorize", "mishaps.limits:starve_factorization", few
    yield "NaN", "correction", "mishaps.in_process:poison_correction", {"times": times}
    for host in hosts:
        for part in ("minibatches", "npe"):
            arguments = {"part": part, "host": host, "times": times}
            yield "kill", f"{part}, {host}", "mishaps.signals:kill", arguments
        for part in ("fit", "minibatches", "npe"):
            arguments = {"part": part, "host": host, "times": times}
            yield "Ctrl-C", f"{part}, {host}", "mishaps.signals:interrupt", arguments
        one = {"host": host, "times": times}
        small = {"host": host, **few}
        yield "little memory", f"minibatches, {host}", "mishaps.limits:starve_training", small
        yield "NaN", f"minibatches, {host}", "mishaps.in_process:poison_minibatches", one
        yield "NaN", f"data of fit, {host}", "mishaps.in_process:poison_data", one
        yield "threads", f"two fits, {host}", "mishaps.in_process:share_threads", one
        for when in ("after the import", "after a fit"):
            arguments = {**small, "when": when}
            yield "fork", f"{when}, {host}", "mishaps.in_process:fork", arguments


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", nargs="*", choices=HOSTS, default=HOSTS)
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=GROUPS)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--smoke", action="store_true", help="each fault once")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds for one row")
    parser.add_argument("--json", type=Path, help="where the rows are kept, a line each")
    options = parser.parse_args()
    kept: list[Row] = []
    if options.json and options.json.exists():
        kept = [json.loads(line) for line in options.json.read_text().splitlines()]
    rows = []
    for fault, part, function, arguments in list_faults(
        options.hosts, 1 if options.smoke else options.times
    ):
        if fault not in options.only:
            continue
        done = [row for row in kept if (row["fault"], row["part"]) == (fault, part)]
        if not done:
            found = measure(function, timeout=options.timeout, **arguments)
            row = {"fault": fault, "part": part, "times": arguments["times"], **found}
            done = [row]
            if options.json:
                with options.json.open("a") as file:
                    file.write(json.dumps(row) + "\n")
        rows.append(done[-1])
    header = ("fault", "part", "times", "what happened", "as it should")
    print(format_table(header, [format_row(row) for row in rows]))


def format_row(row: Row) -> tuple[str, ...]:
    """A row as words."""
    happened = row.get("failure") or ", ".join(
        f"{what} {count:,}" for what, count in row["counts"].items() if count
    )
    right = "yes" if row.get("right") else "NO"
    return row["fault"], row["part"], f"{row['times']:,}", happened, right


if __name__ == "__main__":
    main()
