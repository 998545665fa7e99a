"""Factorization over processes, and of streams: ``python benchmarks/factorization_sharded.py``.

Ratings are simulated, of the shape of MovieLens-1M. Processes share the cores of this machine,
so that their scaling is that of the program only where there are as many cores.
"""

import argparse
import json
import os
import socket
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from measuring import measure
from tables import format_table, number

Figures = dict[str, Any]
SAME = 1e-6
PARTS = "contenders.on_parts:"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1_000_000, help="ratings")
    parser.add_argument("--factors", type=int, default=16)
    parser.add_argument("--sweeps", type=int, default=5)
    parser.add_argument("--processes", type=int, nargs="*", default=(1, 2, 4))
    parser.add_argument("--json", type=Path, help="file to keep the figures in")
    options = parser.parse_args()
    kept: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        print(measure(PARTS + "write_ratings", folder=folder, count=options.count))
        common = {"folder": folder, "num_factors": options.factors}
        for dtype in ("float64", "float32"):
            each = {**common, "sweeps": options.sweeps, "dtype": dtype}
            one = measure(PARTS + "fit_memory", **each)
            shared = {parts: fit_parts(parts, **each) for parts in options.processes}
            kept[dtype] = {"compiled": one, **shared}
            print(f"\n{options.factors} factors, {dtype}, {os.cpu_count()} cores")
            print(format_parts(one, shared))
        kept["streams"] = list(compare_streams(options.count, **common))
    print("\nStreams\n" + format_streams(kept["streams"]))
    kept["memory"] = list(compare_memory(options.count, options.factors))
    print("\nMemory of a stream\n" + format_memory(kept["memory"]))
    if options.json:
        options.json.write_text(json.dumps(kept, indent=1))


def fit_parts(parts: int, **arguments: Any) -> list[Figures]:
    """Fit in so many processes at once."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def fit(part: int) -> Figures:
        return measure(PARTS + "fit_part", part=part, parts=parts, port=port, **arguments)

    with ThreadPoolExecutor(parts) as pool:
        return list(pool.map(fit, range(parts)))


def format_parts(one: Figures, shared: dict[int, list[Figures]]) -> str:
    rows = [describe_parts("numba, 1", [one], one, None)]
    alone = None
    for parts, found in shared.items():
        name = f"JAX, {parts}"
        failed = [each["failure"] for each in found if "failure" in each]
        if failed:
            rows.append((name, failed[0], *"-------"))
        else:
            rows.append(describe_parts(name, found, one, alone or found))
            alone = alone or found
    header = ("processes", "ELBO", "off by", "<= 1e-6", "s a sweep", "CPU s each", "speed-up",
              "in CPU s", "ratings each", "MiB each")  # fmt: skip
    return format_table(header, rows)


def describe_parts(
    name: str, found: list[Figures], one: Figures, alone: list[Figures] | None
) -> tuple[str, ...]:
    """A row of the table; the slowest process counts."""
    most = {key: max(each[key] for each in found) for key in found[0]}
    off = max(abs(each["elbo"] / one["elbo"] - 1) for each in found)
    gains = [alone[0][key] / most[key] if alone else None for key in ("seconds", "cpu")]
    return (
        name,
        f"{found[0]['elbo']:,.3f}",
        f"{off:.1e}",
        "met" if off <= SAME else "NOT MET",
        *(number(most[key], 3) for key in ("seconds", "cpu")),
        *(number(each) for each in gains),
        f"{most['ratings']:,}",
        f"{most['memory'] / 2**20:.0f}",
    )


def compare_streams(count: int, **common: Any) -> Any:
    fit = PARTS + "fit_stream"
    for blocks, passes in ((1, -1), (1, 0), (10, 5), (40, 5)):
        size = 15 * count // blocks if passes > 0 else 2**27
        yield {
            "blocks": blocks, "steps": passes,
            **measure(fit, characters=size, passes=passes, keep=True, once=False, **common),
        }  # fmt: skip


def format_streams(found: list[Figures]) -> str:
    whole = found[0]["elbo"]
    rows = []
    for each in found:
        name = "in memory" if each["steps"] < 0 else f"{each['blocks']} blocks"
        gap = each["elbo"] - whole
        rows.append(
            (
                name,
                str(max(0, each["steps"])),
                str(each["passes"]),
                f"{each['elbo']:,.1f}",
                f"{gap:,.1f}",
                f"{100 * gap / abs(whole):.3f} %",
                number(each["rmse"], 4),
                number(each["nll"], 4),
                number(each["cpu"], 1),
                f"{each['memory'] / 2**20:.0f}",
            )
        )
    header = ("ratings", "with steps", "passes", "ELBO", "less memory's", "of it", "RMSE", "NLL",
              "CPU s", "MiB")  # fmt: skip
    return format_table(header, rows)


def compare_memory(count: int, num_factors: int) -> Any:
    for times in (1, 4):
        with tempfile.TemporaryDirectory() as folder:
            measure(PARTS + "write_ratings", folder=folder, count=times * count)
            common = {"folder": folder, "num_factors": num_factors, "once": True, "keep": False}
            found = {
                name: measure(PARTS + "fit_stream", characters=2**21, passes=passes, **common)
                for name, passes in (("memory", -1), ("stream", 1))
            }
        yield {"ratings": times * count, **found}


def format_memory(found: list[Figures]) -> str:
    rows = [
        (f"{each['ratings']:,}", *(f"{each[name]['memory'] / 2**20:.0f}"
                                   for name in ("memory", "stream")))
        for each in found
    ]  # fmt: skip
    return format_table(("ratings", "MiB in memory", "MiB as a stream"), rows)


if __name__ == "__main__":
    main()
