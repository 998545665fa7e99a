"""A factorization of as many ratings as memory holds."""

import resource
import time
from typing import Any

import numpy as np

from ppl_ext.factorization import MatrixFactorization, Ratings

__all__ = ["fit_many"]

ITEMS, PER_USER, FACTORS = 20_000, 160, 4
# Users made at once.
BLOCK = 10_000


def fit_many(count: int, num_factors: int, sweeps: int) -> dict[str, Any]:
    """CPU seconds of a sweep, and peak memory of a process that makes and fits so many ratings."""
    fit_sweeps(simulate_blocks(10_000), num_factors, 2)  # compile, or load what was compiled
    ratings = simulate_blocks(count)
    held = read_peak()
    spent, bounds = zip(*(fit_sweeps(ratings, num_factors, n) for n in (1, sweeps)), strict=True)
    return {
        "count": len(ratings),
        "users": ratings.num_users,
        "cpu": (spent[1] - spent[0]) / (sweeps - 1),
        "held": held,
        "peak": read_peak(),
        "elbo_each": bounds[-1] / len(ratings),
    }


def fit_sweeps(ratings: Ratings, num_factors: int, sweeps: int) -> tuple[float, float]:
    model = MatrixFactorization(num_factors, max_sweeps=sweeps, tolerance=0)
    begun = time.process_time()
    factors = model.fit(ratings, progress_bar=False)
    return time.process_time() - begun, float(factors.elbo[-1])


def simulate_blocks(count: int) -> Ratings:
    """Ratings of popular items by users who rate 160 each, made a block of users at a time."""
    rng = np.random.default_rng(0)
    num_users = max(1, round(count / PER_USER))
    popularity = np.cumsum(rng.gamma(0.7, size=ITEMS))
    v = rng.normal(0, 0.7, (ITEMS, FACTORS)).astype(np.float32)
    c = rng.normal(0, 0.5, ITEMS).astype(np.float32)
    users, items, values = [], [], []
    for begin in range(0, num_users, BLOCK):
        rows = np.arange(begin, min(begin + BLOCK, num_users))
        found = popularity.searchsorted(rng.random((len(rows), PER_USER)) * popularity[-1])
        # One rating of a pair.
        pairs = np.unique(np.arange(len(rows))[:, None] * ITEMS + found)
        who, what = pairs // ITEMS, (pairs % ITEMS).astype(np.int32)
        u = rng.normal(0, 0.7, (len(rows), FACTORS)).astype(np.float32)
        b = rng.normal(0, 0.4, len(rows)).astype(np.float32)
        mean = 3.5 + b[who] + c[what] + np.einsum("rk,rk->r", u[who], v[what])
        users.append((who + begin).astype(np.int32))
        items.append(what)
        noise = rng.standard_normal(len(pairs), dtype=np.float32)
        values.append((mean + 0.7 * noise).astype(np.float32))
    columns = [np.concatenate(parts) for parts in (users, items, values)]
    return Ratings(*columns, np.arange(num_users), np.arange(ITEMS))


def read_peak() -> float:
    """Largest memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0
