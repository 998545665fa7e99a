"""Run the demonstration: fit, compare, draw."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from ppl_ext.commands.demo.pictures import draw_pictures
from ppl_ext.commands.demo.problem import PROBLEMS, Entry, Problem
from ppl_ext.commands.demo.table import format_summary, format_table

__all__ = ["Method", "run_demo"]

Method = Callable[[Problem], Entry]


def run_demo(methods: Mapping[str, Method], folder: Path | None) -> list[Path]:
    """Fit every problem with every method, print the tables and draw the pictures.

    Args:
        methods: The methods of a room, by name.
        folder: Where the pictures go; None draws none.

    Returns:
        The pictures that were written.
    """
    written: list[Path] = []
    runs = []
    for problem in PROBLEMS:
        print(f"\n{problem.title}")
        entries = []
        for name, method in methods.items():
            started = time.perf_counter()
            print(f"  {name} ...", end=" ", flush=True)
            entries.append(method(problem))
            print(f"{time.perf_counter() - started:.0f} s", flush=True)
        print(f"\n{format_table(problem, entries)}")
        runs.append((problem, entries))
        if folder is not None:
            written += draw_pictures(problem, entries, folder)
    print(f"\nWhat was promised, and what was true\n\n{format_summary(runs)}")
    return written
