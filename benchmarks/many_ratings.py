"""A hundred million ratings on this machine: ``python benchmarks/many_ratings.py``.

Each size is simulated and fitted in a process of its own; the cost of a sweep should grow as the
number of ratings does, and everything stay within 20 GB. A hundred million take some ten minutes
on four cores, and 12 GB.
"""

import argparse
import json
from itertools import pairwise
from math import log
from pathlib import Path

from measuring import measure
from tables import format_table, number

LIMIT, SLACK = 20e9, 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sizes = (1_000_000, 10_000_000, 100_000_000)
    parser.add_argument("--sizes", type=int, nargs="+", default=sizes)
    parser.add_argument("--factors", type=int, default=32)
    parser.add_argument("--sweeps", type=int, default=3, help="sweeps of a fit")
    parser.add_argument("--json", type=Path, help="file to keep the figures in")
    options = parser.parse_args()
    found = [
        measure(
            "contenders.on_many_ratings:fit_many", timeout=4 * 3600, count=size,
            num_factors=options.factors, sweeps=options.sweeps,
        )
        for size in options.sizes
    ]  # fmt: skip
    rows = [
        (f"{each['count']:,}", f"{each['users']:,}", number(each["cpu"], 2),
         number(1e9 * each["cpu"] / each["count"], 0), number(each["held"] / 1e9),
         number(each["peak"] / 1e9), "met" if each["peak"] <= LIMIT else "NOT MET")
        for each in found
    ]  # fmt: skip
    header = ("ratings", "users", "CPU s a sweep", "ns a rating", "GB of ratings", "GB at most",
              "<= 20")  # fmt: skip
    print(f"{options.factors} factors\n{format_table(header, rows)}")
    for first, last in pairwise(found):
        exponent = log(last["cpu"] / first["cpu"]) / log(last["count"] / first["count"])
        verdict = "met" if abs(exponent - 1) <= SLACK else "NOT MET"
        print(f"exponent from {first['count']:,}: {exponent:.3f} (1 +- {SLACK}) {verdict}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
