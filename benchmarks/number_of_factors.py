"""How to choose the number of factors: ``python -m benchmarks.number_of_factors [u.data]``.

Each table is split four times. For every number of factors the test RMSE is measured, and printed
is what is lost, beside the best number, by that of the best ELBO, by that which makes a fifth of
the fitted ratings likeliest when they are held out, by 4, and by 16.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ppl_ext.factorization import (
    MatrixFactorization,
    Ratings,
    read_ratings,
    simulate_ratings,
    split_by_row,
)

__all__ = ["main"]

COUNTS = (1, 2, 4, 8, 16, 32)
# Users, items, factors, density and noise of simulated tables.
SIMULATED = (
    (60, 40, 2, 0.5, 0.3),
    (100, 80, 1, 0.2, 0.7),
    (100, 80, 4, 0.3, 0.7),
    (200, 100, 4, 0.1, 1.5),
    (300, 200, 2, 0.1, 0.7),
    (300, 200, 8, 0.15, 0.7),
    (600, 400, 4, 0.1, 0.7),
)
# Users and items at random of a real table.
PARTS = ((50, 1682), (100, 300), (200, 1682), (400, 400), (943, 200), (943, 1682))


def list_tables(path: Path | None) -> Iterator[tuple[str, Ratings]]:
    """Small tables, simulated and real."""
    for users, items, factors, density, noise in SIMULATED:
        found = simulate_ratings(users, items, factors, density=density, noise_sd=noise, seed=3)
        ratings = found.ratings
        columns = ratings.users, ratings.items, ratings.values
        yield f"simulated, {users} x {items}, {factors} factors", read_ratings(columns)
    if path is None:
        return
    ratings = read_ratings(path)
    rng = np.random.default_rng(0)
    for users, items in PARTS:
        kept = np.isin(ratings.users, rng.permutation(ratings.num_users)[:users])
        kept &= np.isin(ratings.items, rng.permutation(ratings.num_items)[:items])
        columns = ratings.users[kept], ratings.items[kept], ratings.values[kept]
        yield f"{path.name}, {users} x {items}", read_ratings(columns)


def measure_losses(ratings: Ratings) -> np.ndarray:
    """RMSE lost by each of the four rules."""
    lost = []
    for seed in range(4):
        train, test = split_by_row(ratings, 0.1, seed)
        fitted, held_out = split_by_row(train, 0.2, seed + 10)
        settings = [MatrixFactorization(count, num_threads=1) for count in COUNTS]
        whole = [each.fit(train, progress_bar=False) for each in settings]
        part = [each.fit(fitted, progress_bar=False) for each in settings]
        rmse = np.array([factors.assess(test).rmse for factors in whole])
        by_bound = np.argmax([factors.elbo[-1] for factors in whole])
        by_held_out = np.argmin([factors.assess(held_out).nll for factors in part])
        chosen = [by_bound, by_held_out, COUNTS.index(4), COUNTS.index(16)]
        lost.append([rmse[chosen], rmse])
    mean = [np.mean([each[at] for each in lost], axis=0) for at in (0, 1)]
    return np.asarray(mean[0] - mean[1].min())


def main() -> None:
    """Print a line a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", nargs="?", type=Path, help="u.data of MovieLens-100K")
    print(f"{'RMSE lost by':42} ratings  best ELBO  held out      4      16")
    for name, ratings in list_tables(parser.parse_args().path):
        lost = measure_losses(ratings)
        print(f"{name:42} {len(ratings):7,}     {lost[0]:6.4f}    {lost[1]:6.4f} "
              f"{lost[2]:6.4f}  {lost[3]:6.4f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
