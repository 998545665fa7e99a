"""Factorizations in several processes and of streams, each process measured by itself."""

import resource
import time
from pathlib import Path
from typing import Any

import numpy as np

from contenders.on_ratings import simulate
from ppl_ext.factorization import (
    MatrixFactorization,
    RatingStream,
    StreamedFactorization,
    read_part,
    read_ratings,
    split_by_row,
)

__all__ = ["fit_memory", "fit_part", "fit_stream", "write_ratings"]


def write_ratings(folder: str, count: int) -> dict[str, Any]:
    """Ratings of the shape of MovieLens-1M in two files, nine in ten of them to fit."""
    train, test = split_by_row(simulate(count), 0.1, 0)
    known = np.isin(test.users, train.users) & np.isin(test.items, train.items)
    test = test.select(known)
    for name, ratings in (("train", train), ("test", test)):
        lines = ["user,item,rating\n"]
        table = zip(ratings.users.tolist(), ratings.items.tolist(), ratings.values, strict=True)
        lines += [f"{user},{item},{value:.9g}\n" for user, item, value in table]
        Path(folder, f"{name}.csv").write_text("".join(lines))
    return {"ratings": len(train)}


def choose_model(num_factors: int, sweeps: int, dtype: str, **settings: Any) -> Any:
    return MatrixFactorization(
        num_factors, max_sweeps=sweeps, tolerance=0, num_threads=1, dtype=np.dtype(dtype),
        **settings,
    )  # fmt: skip


def peak_memory() -> int:
    """Bytes that the process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def fit_memory(folder: str, num_factors: int, sweeps: int, dtype: str) -> dict[str, Any]:
    """The compiled kernel in one process, all ratings in memory."""
    ratings = read_ratings(Path(folder, "train.csv"))
    choose_model(num_factors, 1, dtype).fit(ratings)  # compiles, or loads what was compiled
    spent = [time.process_time()]
    for number in (1, sweeps + 1):
        factors = choose_model(num_factors, number, dtype).fit(ratings)
        spent.append(time.process_time())
    return {
        "elbo": float(factors.elbo[-2]), "ratings": len(ratings), "memory": peak_memory(),
        "seconds": factors.log.seconds / (sweeps + 1),
        "cpu": (spent[2] - 2 * spent[1] + spent[0]) / sweeps,
    }  # fmt: skip


def fit_part(
    folder: str, part: int, parts: int, port: int, num_factors: int, sweeps: int, dtype: str
) -> dict[str, Any]:
    """One process of several, with its own part of the ratings."""
    import jax

    from ppl_ext.numpyro.factorization import fit_on_devices

    if parts > 1:
        jax.distributed.initialize(f"127.0.0.1:{port}", parts, part)
    ratings = read_part(Path(folder, "train.csv"), part, parts)
    fit_on_devices(choose_model(num_factors, 1, dtype), ratings)  # compiles
    spent = [time.process_time()]
    for number in (1, sweeps + 1):
        factors = fit_on_devices(choose_model(num_factors, number, dtype), ratings)
        spent.append(time.process_time())
    return {
        "elbo": float(factors.elbo[-2]), "ratings": len(ratings), "memory": peak_memory(),
        "seconds": factors.log.seconds / (sweeps + 1),
        "cpu": (spent[2] - 2 * spent[1] + spent[0]) / sweeps,
    }  # fmt: skip


def fit_stream(
    folder: str, num_factors: int, characters: int, passes: int, keep: bool, once: bool
) -> dict[str, Any]:
    """A stream from the file, to its end or for one sweep, and the test error where users stay."""
    settings = {"max_sweeps": 1} if once else {}
    model = MatrixFactorization(num_factors, num_threads=1, **settings)
    blocks = RatingStream(Path(folder, "train.csv"), characters=characters)
    begun = time.process_time()
    if passes < 0:
        factors = model.fit(read_ratings(Path(folder, "train.csv")))
    else:
        factors = StreamedFactorization(model, max_passes=passes, keep_users=keep).fit(blocks)
    found = {
        "elbo": float(factors.elbo[-1]), "passes": len(factors.elbo), "memory": peak_memory(),
        "cpu": time.process_time() - begun,
    }  # fmt: skip
    if keep:
        assessment = factors.assess(read_ratings(Path(folder, "test.csv")))
        found |= {"rmse": assessment.rmse, "nll": assessment.nll}
    return found
