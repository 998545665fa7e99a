"""Peak memory of large fits: ``python benchmarks/memory.py``.

A Gaussian random walk is fitted through ``fit`` with a full-rank guide in 2,000 dimensions and
with a mean-field guide in 200,000, each in a fresh process whose peak resident memory is read when
it ends. Errors are those against the known optimum of the family.
"""

import argparse

from measuring import measure
from tables import format_table, number

CASES = (("full rank", 2_000), ("mean field", 200_000))
LIMIT = 2 * 2**30
HEADER = ("guide", "dim", "host", "memory", "mean error", "log sd", "gradients", "CPU s", "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", nargs="+", choices=("numpyro", "pyro"))
    hosts = parser.parse_args().hosts or ("numpyro", "pyro")
    rows = [measure_case(guide, dim, host) for guide, dim in CASES for host in hosts]
    print(format_table(HEADER, rows))


def measure_case(guide: str, dim: int, host: str) -> tuple[str, ...]:
    answer = measure(f"contenders.on_{host}:fit_walk", dim=dim, guide=guide)
    key = (guide, f"{dim:,}", host)
    if "failure" in answer:
        return (*key, *[""] * 5, "failed: " + answer["failure"])
    return (
        *key,
        f"{answer['memory'] / 2**30:.2f} GB",
        number(answer["mean_error"], 4),
        number(answer["sd_error"], 4),
        f"{answer['gradients']:,}",
        number(answer["cpu"]),
        "met" if answer["memory"] <= LIMIT else "NOT MET",
    )


if __name__ == "__main__":
    main()
