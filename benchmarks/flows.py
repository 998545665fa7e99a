"""Flow guides on posteriors that no Gaussian follows: ``python benchmarks/flows.py``.

For each problem and host: our `AutoFlow` through `fit`, and the host's guides at their defaults
with Adam. Evidence lower bound and k-hat of 20,000 draws, their effective number, gradients of the
model and CPU seconds, compilation included. At the end the targets, met or not: on each problem a
bound above those of the host's guides, and on densities of mass 1 within 0.05 nats of it.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from measuring import measure
from tables import format_table, number

PROBLEMS = {"banana": 0.0, "funnel": 0.0, "pitcher": -2.2698, "schools": None}
HOST_GUIDES = {
    "numpyro": ("inverse autoregressive", "block autoregressive", "annealed importance sampling"),
    "pyro": ("inverse autoregressive", "normalizing flow"),
}
OURS, GAP = "AutoFlow", 0.05
HEADER = ("problem", "host", "guide", "ELBO", "k-hat", "ESS", "gradients", "CPU s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    parser.add_argument("--hosts", nargs="+", choices=HOST_GUIDES, default=["numpyro"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=1e-3, help="step size of the host's guides")
    parser.add_argument("--steps", type=int, default=10_000, help="steps of the host's guides")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds for one process")
    parser.add_argument("--json", type=Path, help="where the rows are kept")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for host in options.hosts:
        for problem in options.problems:
            for guide in (OURS, *HOST_GUIDES[host]):
                answer = run(options, host, problem, guide)
                rows.append({"problem": problem, "host": host, "guide": guide, **answer})
                print(" ".join(cell.strip() for cell in format_row(rows[-1])), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows))
    print()
    print(format_table(HEADER, [format_row(row) for row in rows]))
    print()
    print("\n".join(format_targets(rows)))


def run(options: argparse.Namespace, host: str, problem: str, guide: str) -> dict[str, Any]:
    module = f"contenders.on_{host}_flows"
    settings = {"name": problem, "seed": options.seed}
    # In float32, as users run them: the flows of the hosts are no better in float64.
    common = {"timeout": options.timeout, "environment": {"JAX_ENABLE_X64": "0"}}
    if guide == OURS:
        return measure(f"{module}:fit_flow", **common, **settings)
    training = {"guide": guide, "rate": options.rate, "steps": options.steps}
    return measure(f"{module}:fit_host_flow", **common, **settings, **training)


def format_row(row: dict[str, Any]) -> tuple[str, ...]:
    key = (row["problem"], row["host"], row["guide"])
    if "failure" in row:
        return (*key, "failed: " + row["failure"], "", "", "", "")
    return (
        *key,
        number(row["elbo"], 3),
        number(row["khat"]),
        f"{row['ess']:,.0f}",
        f"{row['gradients']:,}",
        number(row["cpu"], 1),
    )


def format_targets(rows: list[dict[str, Any]]) -> list[str]:
    lines = []
    for ours in (row for row in rows if row["guide"] == OURS and "failure" not in row):
        same = [row for row in rows if row is not ours and "failure" not in row]
        peers = [
            row["elbo"]
            for row in same
            if (row["host"], row["problem"]) == (ours["host"], ours["problem"])
        ]
        where = f"{ours['problem']} in {ours['host']}"
        met = all(ours["elbo"] > peer for peer in peers)
        lines.append(f"{'met' if met else 'MISSED'}: above the host's guides on {where}")
        evidence = PROBLEMS[ours["problem"]]
        if evidence is not None:
            met = evidence - ours["elbo"] <= GAP and ours["khat"] < 0.7
            lines.append(
                f"{'met' if met else 'MISSED'}: within {GAP} nats, k-hat below 0.7, {where}"
            )
    return lines


if __name__ == "__main__":
    main()
