"""Factorizations of ratings: ours and the peers that are installed, each in its own process."""

import time
import tracemalloc
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from measuring import clock
from scipy import sparse

from ppl_ext.factorization import (
    Fixed,
    MatrixFactorization,
    Noise,
    Ratings,
    read_ratings,
    simulate_ratings,
    split_by_row,
)
from ppl_ext.factorization.model.cache_lines import zeros_on_lines
from ppl_ext.factorization.model.side_posterior import TILE
from ppl_ext.factorization.solver.adjacency import Adjacency
from ppl_ext.factorization.solver.gather_kernel import GROUP, gather_group

__all__ = ["PEERS", "compare_iteration", "fit_ours", "fit_peer", "fit_slides", "sweep"]

PEERS = {
    "myfm Gibbs": "myfm", "myfm VB": "myfm", "smurff": "smurff",
    "surprise SVD": "surprise", "lenskit ALS": "lenskit", "cmfrec ALS": "cmfrec",
}  # fmt: skip


def split(folder: str, seed: int | None) -> tuple[Ratings, Ratings]:
    """A 90/10 split, or the published one where there is no seed."""
    if seed is not None:
        return split_by_row(read_ratings(Path(folder, "u.data")), 0.1, seed)
    every = read_ratings(Path(folder, "u.data"))
    labels = {"user_ids": every.user_ids, "item_ids": every.item_ids}
    base, test = (read_ratings(Path(folder, f"u1.{part}"), **labels) for part in ("base", "test"))
    return base, test


def warm_up() -> None:
    """Compile, or load what was compiled."""
    ratings = simulate_ratings(num_users=9, num_items=9, density=0.5).ratings
    MatrixFactorization(1, max_sweeps=1, num_threads=1).fit(ratings)


def fit_slides(folder: str) -> dict[str, Any]:
    ratings = read_ratings(Path(folder, "u.data"))
    factors = MatrixFactorization(
        20,
        biases=False,
        center=0.0,
        user_prior=Fixed(0.5),
        item_prior=Fixed(0.5),
        noise=Noise(0.5, by_user=False, by_item=False),
        max_sweeps=10,
        tolerance=0,
        start_sds=(0.1, 1.0),
    ).fit(ratings)
    rises = np.diff(factors.elbo) / abs(factors.elbo[-1])
    rmse = factors.assess(ratings).rmse
    return {"rmse": rmse, "elbo": float(factors.elbo[-1]), "least_rise": float(rises.min())}


def fit_ours(folder: str, seed: int | None, num_factors: int, **settings: Any) -> dict[str, Any]:
    train, test = split(folder, seed)
    warm_up()
    model = MatrixFactorization(num_factors, num_threads=1, **settings)
    factors, seconds = clock(lambda: model.fit(train))
    found = factors.assess(test)
    half, most = (found.coverage[level] for level in (0.5, 0.9))
    return {
        "rmse": found.rmse, "nll": found.nll, "half": half, "most": most,
        "cpu": seconds, "sweeps": factors.sweeps,
    }  # fmt: skip


def fit_peer(folder: str, seed: int, num_factors: int, peer: str) -> dict[str, Any]:
    """Fit a peer at settings that suit it; RMSE where it gives no intervals."""
    if find_spec(PEERS[peer]) is None:
        return {"failure": f"{PEERS[peer]} is not installed"}
    train, test = split(folder, seed)
    fits = {
        "smurff": fit_smurff, "surprise": fit_surprise, "lenskit": fit_lenskit,
        "cmfrec": fit_cmfrec, "myfm": fit_myfm,
    }  # fmt: skip
    fit = fits[PEERS[peer]]
    (mean, sd), seconds = clock(lambda: fit(train, test, num_factors, peer))
    off = test.values - mean
    result: dict[str, Any] = {"rmse": float(np.sqrt(np.mean(off**2))), "cpu": seconds}
    if sd is not None:
        scaled = np.abs(off) / sd
        result["nll"] = float(np.mean(0.5 * scaled**2 + np.log(sd) + 0.5 * np.log(2 * np.pi)))
        result["half"], result["most"] = (float(np.mean(scaled < z)) for z in (0.67449, 1.64485))
    return result


def fit_surprise(train: Ratings, test: Ratings, num_factors: int, peer: str) -> Any:
    import pandas
    import surprise

    frame = pandas.DataFrame({"u": train.users, "i": train.items, "r": train.values})
    data = surprise.Dataset.load_from_df(frame, surprise.Reader(rating_scale=(1, 5)))
    # The best of a grid of steps and regularisations.
    model = surprise.SVD(
        n_factors=num_factors, n_epochs=100, lr_all=0.005, reg_all=0.1, random_state=0
    )
    model.fit(data.build_full_trainset())
    pairs = zip(test.users.tolist(), test.items.tolist(), strict=True)
    return np.array([model.predict(*pair, clip=False).est for pair in pairs]), None


def fit_lenskit(train: Ratings, test: Ratings, num_factors: int, peer: str) -> Any:
    import pandas
    from lenskit.als import BiasedMFScorer
    from lenskit.data import ItemList, RecQuery, from_interactions_df

    columns = {"user_id": train.users, "item_id": train.items, "rating": train.values}
    # The best of regularisations .05, .1, .2 and 10 or 20 epochs.
    model = BiasedMFScorer(embedding_size=num_factors, epochs=10, regularization=0.1)
    model.train(from_interactions_df(pandas.DataFrame(columns)))
    mean = np.full(len(test), float(train.values.mean()))  # kept where an item is unknown
    for user in np.unique(test.users):
        rows = np.flatnonzero(test.users == user)
        items = ItemList(item_ids=test.items[rows].tolist())
        scores = np.asarray(model(query=RecQuery(user_id=int(user)), items=items).scores())
        mean[rows] = np.where(np.isnan(scores), mean[rows], scores)
    return mean, None


def fit_cmfrec(train: Ratings, test: Ratings, num_factors: int, peer: str) -> Any:
    import cmfrec
    import pandas

    columns = {"UserId": train.users, "ItemId": train.items, "Rating": train.values}
    # The best of regularisations 5, 10, 15, 20, 30.
    model = cmfrec.CMF(k=num_factors, lambda_=15.0, nthreads=1, verbose=False)
    model.fit(pandas.DataFrame(columns))
    mean = np.asarray(model.predict(test.users, test.items), dtype=np.float64)
    return np.where(np.isnan(mean), train.values.mean(), mean), None


def fit_myfm(train: Ratings, test: Ratings, num_factors: int, peer: str) -> Any:
    import myfm

    blocks = [one_hot(part) for part in (train, test)]
    groups = [train.num_users, train.num_items]
    if peer == "myfm VB":
        model = myfm.VariationalFMRegressor(rank=num_factors, random_seed=0)
        model.fit(blocks[0], train.values, n_iter=100, group_shapes=groups)
        return model.predict(blocks[1]), None
    model = myfm.MyFMRegressor(rank=num_factors, random_seed=0)
    model.fit(blocks[0], train.values, n_iter=300, n_kept_samples=250, group_shapes=groups)
    samples = model.predictor_.samples
    draws = np.array([predict_myfm(sample, train, test) for sample in samples])
    noise = np.mean([1 / each.alpha for each in model.get_hyper_trace().itertuples()][-250:])
    return draws.mean(axis=0), np.sqrt(draws.var(axis=0) + noise)


def predict_myfm(sample: Any, train: Ratings, test: Ratings) -> np.ndarray:
    users, items = test.users, test.items + train.num_users
    product = np.sum(sample.V[users] * sample.V[items], axis=1)
    return np.asarray(sample.w0 + sample.w[users] + sample.w[items] + product)


def one_hot(ratings: Ratings) -> sparse.csr_matrix:
    columns = np.stack([ratings.users, ratings.items + ratings.num_users], axis=1).ravel()
    rows = np.repeat(np.arange(len(ratings)), 2)
    shape = (len(ratings), ratings.num_users + ratings.num_items)
    return sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape)


def fit_smurff(train: Ratings, test: Ratings, num_factors: int, peer: str) -> Any:
    import smurff

    shape = (train.num_users, train.num_items)
    center = float(train.values.mean())
    matrices = [
        sparse.coo_matrix((part.values - center, (part.users, part.items)), shape=shape)
        for part in (train, test)
    ]
    session = smurff.TrainSession(
        priors=["normal", "normal"], num_latent=num_factors, burnin=100, nsamples=200,
        verbose=0, seed=1, num_threads=1,
    )  # fmt: skip
    session.addTrainAndTest(*matrices, smurff.AdaptiveNoise(1.0, 10.0))
    found = {(each.coords[0], each.coords[1]): each.pred_avg for each in session.run()}
    pairs = zip(test.users.tolist(), test.items.tolist(), strict=True)
    return center + np.array([found[pair] for pair in pairs]), None


def simulate(count: int) -> Ratings:
    """Ratings of the shape of MovieLens-1M, users growing with their number."""
    users = round(6040 * count / 1_000_000)
    ratings = simulate_ratings(users, 3706, density=0.085, seed=0).ratings
    chosen = np.random.default_rng(0).permutation(len(ratings))[:count]
    return ratings.select(chosen)


def sweep(count: int, num_factors: int) -> dict[str, Any]:
    """CPU seconds of a sweep beside two floors, and its memory.

    The floors are its operations at the speed of a matrix product, and its sums alone at the speed
    of the second-level cache. Memory is measured for ratings on a scale of half stars, too.
    """
    warm_up()
    ratings = simulate(count)
    spent = []
    for sweeps in (1, 4):
        model = MatrixFactorization(num_factors, max_sweeps=sweeps, tolerance=0, num_threads=1)
        begun = time.process_time()
        model.fit(ratings)
        spent.append(time.process_time() - begun)
    stars = replace(ratings, values=np.clip(np.round(2 * ratings.values) / 2, 0.5, 5))
    # All arrays of NumPy, which the kernels work in as well.
    peaks = []
    for each in (ratings, stars):
        tracemalloc.start()
        model.fit(each)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    rows = ratings.num_users + ratings.num_items
    table = 12 * len(ratings)
    wanted = table + 4 * rows * (num_factors + num_factors * (num_factors + 1) / 2)
    operations = len(ratings) * num_factors**2 + rows * num_factors**3 / 3
    return {
        "count": len(ratings),
        "cpu": (spent[1] - spent[0]) / 3,
        "floor": operations / product_speed(),
        "gather": gather_seconds(ratings, num_factors),
        "memory": peaks[0] + table,
        "memory_stars": peaks[1] + table,
        "wanted_memory": wanted,
    }


def gather_seconds(ratings: Ratings, num_factors: int) -> float:
    """CPU seconds of the sums of a sweep where each tile is in the second-level cache already."""
    dim, nothing = num_factors + 1, np.empty(0)
    tiles = -(-dim * (dim + 1) // 2 // TILE) + -(-(dim + 1) // TILE)
    sums = zeros_on_lines((1, GROUP, TILE), np.float32)
    total = 0.0
    for side, rows in (
        (Adjacency.by_user(ratings), ratings.num_items),
        (Adjacency.by_item(ratings), ratings.num_users),
    ):
        tile, spent = zeros_on_lines((1, rows, TILE), np.float32), []
        tile[:] = 1.0  # pages that nobody has written to are one and the same
        for _ in range(6):
            begun = time.process_time()
            for first in range(0, len(side.counts), GROUP):
                gather_group(
                    first, min(GROUP, len(side.counts) - first), side.indptr, side.columns,
                    side.values, nothing, 0.0, tile, tile[:0], sums, sums[:0],
                )  # fmt: skip
            spent.append(time.process_time() - begun)
        total += tiles * min(spent[1:])
    return total


def product_speed() -> float:
    """Multiply-adds per second of a single-precision matrix product on one thread."""
    matrix = np.random.default_rng(0).random((2048, 2048), dtype=np.float32)
    best = min(timed_product(matrix) for _ in range(3))
    return 2048**3 / best


def timed_product(matrix: np.ndarray) -> float:
    begun = time.process_time()
    matrix @ matrix
    return time.process_time() - begun


def compare_iteration(count: int, num_factors: int) -> dict[str, Any]:
    """CPU seconds of an iteration of implicit's alternating least squares by exact Cholesky."""
    if find_spec("implicit") is None:
        return {"failure": "implicit is not installed"}
    from implicit.cpu.als import AlternatingLeastSquares

    ratings = simulate(count)
    shape = (ratings.num_users, ratings.num_items)
    matrix = sparse.csr_matrix(
        (np.abs(ratings.values), (ratings.users, ratings.items)), shape=shape
    )
    spent = []
    for iterations in (1, 3):
        model = AlternatingLeastSquares(
            factors=num_factors, use_cg=False, iterations=iterations, num_threads=1, random_state=0
        )
        begun = time.process_time()
        model.fit(matrix, show_progress=False)
        spent.append(time.process_time() - begun)
    return {"cpu": (spent[1] - spent[0]) / 2}
