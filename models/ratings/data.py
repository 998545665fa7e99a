"""Simulated ratings, or those of a file, and what is fitted to them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ppl_ext.factorization import (
    Factors,
    MatrixFactorization,
    Noise,
    Ratings,
    read_ratings,
    simulate_ratings,
    split_by_row,
)

__all__ = ["EQUAL_NOISE", "SETTINGS", "Table", "choose_pairs", "describe_fit", "open_table"]

SETTINGS = MatrixFactorization(num_factors=4)
# Without weights of users and items, whose Gamma draws take NumPyro most of its compile time.
EQUAL_NOISE = replace(SETTINGS, noise=Noise(by_user=False, by_item=False))


@dataclass(frozen=True, eq=False)
class Table:
    """Ratings to fit, ratings set aside, and the truth of these where it is known.

    Args:
        name: Where the ratings are from.
        train: Ratings to fit.
        test: Ratings set aside.
        truth: ``[rating of test]``, the ratings before noise; None where nobody knows them.
    """

    name: str
    train: Ratings
    test: Ratings
    truth: np.ndarray | None = None


def open_table(path: str | None = None) -> Table:
    """Read a file, or simulate where there is none, and set every tenth rating aside."""
    if path is not None:
        return Table(path, *split_by_row(read_ratings(path), 0.1, seed=0))
    simulation = simulate_ratings(num_users=200, num_items=120, density=0.3, seed=3)
    aside = np.zeros(len(simulation.ratings), dtype=bool)
    aside[np.random.default_rng(0).choice(len(aside), len(aside) // 10, replace=False)] = True
    return Table(
        "simulated",
        simulation.ratings.select(~aside),
        simulation.ratings.select(aside),
        simulation.truth[aside],
    )


def choose_pairs(table: Table, count: int = 5) -> np.ndarray:
    """Positions in ``table.test`` of a few ratings, spread over the table."""
    return np.linspace(0, len(table.test) - 1, min(count, len(table.test))).astype(int)


def describe_fit(table: Table, factors: Factors) -> Sequence[str]:
    """Say how the fit went, and how far predictions are from what was set aside."""
    fit = f"{table.name}: {table.train!r} to fit"
    lines = [fit, repr(factors), str(factors.assess(table.test))]
    if table.truth is not None:
        predicted = factors.predict(
            table.test.user_ids[table.test.users], table.test.item_ids[table.test.items]
        )
        missed = np.sqrt(np.mean((predicted.mean - table.truth) ** 2))
        claimed = np.sqrt(np.mean(predicted.mean_sd**2))
        lines.append(f"ratings before noise are missed by {missed:.3f}; {claimed:.3f} is claimed")
    return lines
