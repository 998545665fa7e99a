"""Neural posterior estimation on tasks of its benchmark: ``python benchmarks/npe.py DATA_FOLDER``.

For each task, budget of simulations and seed, every contender trains on the same pairs, in a fresh
process. C2ST against the reference draws by the benchmark's own protocol, as mean and worst over
the observations (0.5 cannot be told from the truth), of the network's draws and of draws corrected
by the model's density; mean log density of 10,000 pairs held out, in the space of the parameters;
CPU seconds of training, compilation included, and of the draws; the most memory of the training.
Contenders named ``sbi-...`` run in the Python that ``--sbi-python`` names; `sbi` need not be
installed beside this package.

With ``--json FILE`` each result is a line of FILE at once and the draws stay beside it: called
again, what is there is not run again, unless it had failed.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from measuring import measure
from problems.simulated import draw_held_out, draw_pairs
from tables import format_table, number

from models.simulation_tasks.data import TASKS

CONTENDERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ours-numpyro": ("contenders.npe_on_numpyro:learn", {}),
    "ours-pyro": ("contenders.npe_on_pyro:learn", {}),
    "sbi-maf": ("contenders.npe_on_sbi:learn", {"method": "maf"}),
    "sbi-nsf": ("contenders.npe_on_sbi:learn", {"method": "nsf"}),
}
# The draws of one posterior: as many as there are reference draws.
DRAWS = 5_000
HEADER = (
    *("task", "budget", "contender", "runs", "C2ST", "worst", "corrected", "worst corrected"),
    *("log density", "with rejection", "training CPU s", "peak MiB", "drawing CPU s"),
    "1,000 x 1,000 draws, CPU s",
)

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with sbibm/TASK.npz, the reference draws")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS)[:4])
    parser.add_argument("--budgets", nargs="+", type=int, default=[1_000, 10_000])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--observations", nargs="*", type=int, default=list(range(1, 11)))
    parser.add_argument("--sbi-python", help="a Python that has sbi")
    parser.add_argument("--max-epochs", type=int, help="for memory and speed alone")
    parser.add_argument("--timeout", type=float, default=7200, help="seconds for one process")
    parser.add_argument("--json", type=Path, help="where the results are kept, a line each")
    options = parser.parse_args()
    if not options.sbi_python:
        options.contenders = [each for each in options.contenders if each.startswith("ours")]
    rows = read(options.json)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.json.with_suffix(".draws") if options.json else Path(scratch)
        folder.mkdir(exist_ok=True)
        for key in list_runs(options):
            for row in run(options, key, rows, folder, Path(scratch)):
                rows.append(row)
                print(json.dumps(row), flush=True)
                if options.json:
                    with options.json.open("a") as kept:
                        kept.write(json.dumps(row) + "\n")
    print()
    print(format_table(HEADER, format_rows(options, rows)))


def read(path: Path | None) -> list[Row]:
    """The results of earlier calls that had not failed."""
    if path is None or not path.exists():
        return []
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row for row in rows if "failure" not in row]


def list_runs(options: argparse.Namespace) -> Iterator[Row]:
    for seed in options.seeds:
        for budget in options.budgets:
            for task in options.tasks:
                for contender in options.contenders:
                    yield {"task": task, "budget": budget, "seed": seed, "contender": contender}


def run(
    options: argparse.Namespace, key: Row, rows: list[Row], folder: Path, scratch: Path
) -> Iterator[Row]:
    """Train one contender once and score its draws, as far as that has not been done before."""
    mine = [row for row in rows if key.items() <= row.items()]
    reference = options.data / "sbibm" / f"{key['task']}.npz"
    draws = folder / f"{'_'.join(map(str, key.values()))}.npz"
    scored = {row["observation"] for row in mine if "observation" in row}
    missing = [each for each in options.observations if each not in scored]
    if not any("fit_cpu" in row for row in mine) or (
        reference.exists() and missing and not draws.exists()
    ):
        answer = learn(options, key, reference, draws, scratch)
        yield {**key, **answer}
        if "failure" in answer:
            return
    for observation in missing if draws.exists() else []:
        answer = measure(
            "two_samples:score_draws",
            timeout=options.timeout,
            reference=str(reference),
            draws=str(draws),
            observation=observation,
        )
        yield {**key, "observation": observation, **answer}


def learn(
    options: argparse.Namespace, key: Row, reference: Path, draws: Path, scratch: Path
) -> Row:
    task, budget, seed = key["task"], key["budget"], key["seed"]
    pairs = scratch / f"{task}_{budget}_{seed}.npz"
    if not pairs.exists():
        theta, x = draw_pairs(task, budget, seed)
        theta_test, x_test = draw_held_out(task)
        arrays = {"theta": theta, "x": x, "theta_test": theta_test, "x_test": x_test}
        if reference.exists() and options.observations:
            arrays["observations"] = np.load(reference)["observation"]
        np.savez(pairs, **arrays)
    function, settings = CONTENDERS[key["contender"]]
    if options.max_epochs:
        settings = {**settings, "max_epochs": options.max_epochs}
    return measure(
        function,
        timeout=options.timeout,
        # In float32, as users run them. Another Python finds the models by their path.
        environment={"JAX_ENABLE_X64": "0", "PYTHONPATH": str(Path(__file__).parents[1])},
        python=options.sbi_python if key["contender"].startswith("sbi") else None,
        name=task,
        seed=seed,
        pairs=str(pairs),
        draws=str(draws),
        count=DRAWS,
        **settings,
    )


def format_rows(options: argparse.Namespace, rows: list[Row]) -> list[tuple[str, ...]]:
    """One line for each task, budget and contender: means over seeds, worst over all."""
    cells = []
    for task in options.tasks:
        for budget in options.budgets:
            for contender in options.contenders:
                key = {"task": task, "budget": budget, "contender": contender}
                mine = [row for row in rows if key.items() <= row.items()]
                mine = [row for row in mine if row["seed"] in options.seeds]
                cells.append((task, f"{budget:,}", contender, *format_cells(options, mine)))
    return cells


def format_cells(options: argparse.Namespace, rows: list[Row]) -> tuple[str, ...]:
    runs = list({row["seed"]: row for row in rows if "fit_cpu" in row}.values())
    if not runs:
        failures = [row["failure"] for row in rows if "failure" in row]
        return ("0", "failed: " + failures[-1] if failures else "", *[""] * 9)
    scores = [row["c2st"] for row in rows if row.get("observation") in options.observations]

    def average(name: str) -> str:
        found = [row[name] for row in runs if name in row]
        return number(mean(found) if found else None)

    columns = []
    for kind in ("plain", "corrected"):
        found = [score[kind] for score in scores if kind in score]
        columns += [number(mean(found), 3), number(max(found), 3)] if found else ["-", "-"]
    names = ("log_density", "log_density_with_rejection", "fit_cpu", "peak_mib", "draw_cpu")
    return (str(len(runs)), *columns, *map(average, (*names, "many_cpu")))


if __name__ == "__main__":
    main()
