"""Cost against size: ``python benchmarks/scaling.py``.

CPU seconds of calls that were made once before, so that nothing is compiled: ``fit`` on a
regression of growing data and on a random walk of growing dimension, draws, simulations, a sweep
of a factorization over its ratings, and one over the devices of a process. The exponent is the
slope of the least-squares line of log seconds over log size, with its standard error; the last is
the slope between the two largest sizes alone, where costs that do not grow weigh least.
``--smoke`` takes two sizes of each, in a minute.
"""

import argparse
import json
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from measuring import measure
from tables import format_table, number

HOSTS = ("numpyro", "pyro")
# An exponent that is above its limit by more than this and twice its error is not met.
SLACK = 0.05


class Curve(NamedTuple):
    """What grows, how it is measured, and the exponent it should have at most."""

    what: str
    function: str
    sizes: tuple[int, ...]
    limit: float
    arguments: dict[str, Any] = {}  # noqa: RUF012
    hosts: tuple[str, ...] = HOSTS


CURVES = (
    Curve("data, rows of a regression", "grow_rows", (1_000, 10_000, 100_000, 400_000), 1),
    Curve("dimension, mean field", "grow_dimension", (100, 1_000, 10_000, 40_000), 1,
          {"guide": "AutoMeanField"}),
    # The scale matrix has the square of the dimension, and is multiplied with draws.
    Curve("dimension, full rank", "grow_dimension", (30, 100, 200, 400), 2,
          {"guide": "AutoFullRank"}),
    Curve("draws", "grow_draws", (10_000, 40_000, 160_000, 640_000), 1),
    Curve("simulations", "grow_simulations", (4_000, 16_000, 64_000, 256_000), 1),
    Curve("ratings, of a sweep", "grow_ratings", (125_000, 250_000, 500_000, 1_000_000), 1,
          hosts=()),
    Curve("devices, all their CPU s", "grow_devices", (1, 2, 4), 0, {"count": 200_000},
          ("numpyro",)),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", nargs="+", choices=HOSTS, default=HOSTS)
    parser.add_argument("--only", nargs="+", help="functions of contenders/growth.py")
    parser.add_argument("--smoke", action="store_true", help="two sizes of each, in a minute")
    parser.add_argument("--json", type=Path, help="file to keep the figures in")
    options = parser.parse_args()
    kept, rows = [], []
    for curve in CURVES:
        if options.only and curve.function not in options.only:
            continue
        sizes = curve.sizes[:2] if options.smoke else curve.sizes
        for host in [each for each in curve.hosts if each in options.hosts] or [None]:
            if curve.hosts and host is None:
                continue
            answer = measure_curve(curve, host, sizes)
            kept.append({"what": curve.what, "host": host, "sizes": sizes, **answer})
            rows += describe(curve, host or "hall", sizes, answer)
    print(format_table(("what grows", "host", "size", "CPU s", "exponent", "+-", "last", "at most",
                        ""), rows))  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps(kept, indent=1))


def measure_curve(curve: Curve, host: str | None, sizes: tuple[int, ...]) -> dict[str, Any]:
    arguments = {"sizes": list(sizes), **curve.arguments, **({"host": host} if host else {})}
    flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    if curve.function == "grow_devices":
        flags += f" --xla_force_host_platform_device_count={max(sizes)}"
    return measure(
        f"contenders.growth:{curve.function}", environment={"XLA_FLAGS": flags}, **arguments
    )


def fit_exponent(sizes: tuple[int, ...], seconds: list[float]) -> tuple[float, float | None]:
    """Slope of log seconds over log size and its standard error, which two points do not have."""
    x, y = np.log(sizes), np.log(seconds)
    slope, start = np.polyfit(x, y, 1)
    if len(x) < 3:
        return float(slope), None
    left = y - start - slope * x
    error = np.sqrt(left @ left / (len(x) - 2) / np.sum((x - x.mean()) ** 2))
    return float(slope), float(error)


def describe(
    curve: Curve, host: str, sizes: tuple[int, ...], answer: dict[str, Any]
) -> list[tuple[str, ...]]:
    """A row for each size; the last has the exponents."""
    if "failure" in answer:
        return [(curve.what, host, "-", "-", "-", "-", "-", "-", answer["failure"])]
    seconds = answer["cpu"]
    rows = [
        (curve.what, host, f"{size:,}", number(cpu, 3), "", "", "", "", "")
        for size, cpu in zip(sizes, seconds, strict=True)
    ]
    slope, error = fit_exponent(sizes, seconds)
    steps = pairwise(zip(np.log(sizes), np.log(seconds), strict=True))
    last = [(d - b) / (c - a) for (a, b), (c, d) in steps][-1]
    met = "-"
    if error is not None:
        met = "met" if slope <= curve.limit + SLACK + 2 * error else "NOT MET"
    found = (number(slope), number(error), number(float(last)), f"{curve.limit:g}", met)
    return [*rows[:-1], (*rows[-1][:4], *found)]


if __name__ == "__main__":
    main()
