"""Cost against dimension: ``python benchmarks/scaling.py``.

The Gaussian random walk of ``memory.py`` in growing dimension; the exponent is the slope of log
CPU seconds over log dimension between neighbouring rows, compilation included.
"""

import argparse
from itertools import pairwise
from math import log

from measuring import measure
from tables import format_table, number

SIZES = {"full rank": (10, 30, 100, 300, 1_000), "mean field": (10, 100, 1_000, 10_000)}
HEADER = ("guide", "dim", "host", "CPU s", "exponent", "gradients", "memory")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", nargs="+", choices=("numpyro", "pyro"))
    hosts = parser.parse_args().hosts or ("numpyro", "pyro")
    rows = [row for host in hosts for guide in SIZES for row in measure_growth(host, guide)]
    print(format_table(HEADER, rows))


def measure_growth(host: str, guide: str) -> list[tuple[str, ...]]:
    sizes = SIZES[guide]
    function = f"contenders.on_{host}:fit_walk"
    answers = [measure(function, dim=dim, guide=guide) for dim in sizes]
    growth = ["-"] + [
        number(log(after["cpu"] / before["cpu"]) / log(larger / smaller))
        if "cpu" in before and "cpu" in after
        else "-"
        for (smaller, larger), (before, after) in zip(
            pairwise(sizes), pairwise(answers), strict=True
        )
    ]
    return [
        (
            *(guide, f"{dim:,}", host),
            number(answer.get("cpu")),
            exponent,
            f"{answer.get('gradients', 0):,}",
            answer.get("failure") or f"{answer['memory'] / 2**30:.2f} GB",
        )
        for dim, answer, exponent in zip(sizes, answers, growth, strict=True)
    ]


if __name__ == "__main__":
    main()
