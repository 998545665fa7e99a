"""Factorizations with features of items: known items, new items, and a simulated optimum."""

from pathlib import Path
from typing import Any

import numpy as np
from measuring import clock

from ppl_ext.factorization import MatrixFactorization, Prediction, read_ratings, split_by_row

__all__ = ["FEATURES", "fit_known", "fit_new", "fit_simulated"]

FEATURES = ("none", "noise", "genres", "genres and year")


def read_features(folder: str, kind: str, ids: np.ndarray) -> np.ndarray | None:
    """Features of MovieLens' items, ``[item, feature]``; 50 of noise are the control."""
    if kind == "none":
        return None
    if kind == "noise":
        return np.random.default_rng(0).normal(size=(len(ids), 50))
    lines = Path(folder, "u.item").read_text(encoding="latin-1").splitlines()
    found = {int(fields[0]): fields for fields in (line.split("|") for line in lines)}
    genres = np.array([[float(flag) for flag in found[item][5:]] for item in ids.tolist()])
    if kind == "genres":
        return genres
    # One film is without a date: it gets the mean.
    years = np.array([float(found[item][2][-4:] or "nan") for item in ids.tolist()])
    years = np.where(np.isnan(years), np.nanmean(years), years)[:, None]
    return np.hstack([genres, years, years < [1960, 1980, 1990, 1995]])


def fit_known(folder: str, seed: int, kind: str) -> dict[str, Any]:
    """A random 90/10 split: what features add to ratings."""
    ratings = read_ratings(Path(folder, "u.data"))
    train, test = split_by_row(ratings, 0.1, seed)
    features = read_features(folder, kind, ratings.item_ids)
    model = MatrixFactorization(16, num_threads=1)
    factors, seconds = clock(lambda: model.fit(train, item_features=features))
    found = factors.assess(test)
    return {"rmse": found.rmse, "nll": found.nll, "most": found.coverage[0.9], "cpu": seconds}


def fit_new(folder: str, seed: int, kind: str) -> dict[str, Any]:
    """Every tenth item is new, and known by its features alone."""
    ratings = read_ratings(Path(folder, "u.data"))
    new = np.random.default_rng(seed).permutation(ratings.num_items) < ratings.num_items // 10
    aside = new[ratings.items]
    train, test = ratings.select(~aside), ratings.select(aside)
    # All items are in the fit: those without ratings have the prior that their features give.
    model = MatrixFactorization(16, num_threads=1)
    features = read_features(folder, kind, ratings.item_ids)
    factors, seconds = clock(lambda: model.fit(train, item_features=features))
    found = factors.assess(test)
    return {"rmse": found.rmse, "nll": found.nll, "most": found.coverage[0.9], "cpu": seconds}


def fit_simulated(seed: int) -> dict[str, Any]:
    """New items whose features explain three quarters of their factors; the optimum is known.

    The optimum knows the users and what features do; "none" are the items without features.
    """
    rng = np.random.default_rng(seed)
    shape, new, k = (2000, 1000), 200, 4
    x = rng.normal(size=(shape[1], 10))
    effects = rng.normal(size=(10, k + 1)) / np.sqrt(10)
    scales = np.array([0.7] * k + [0.5])
    known = np.sqrt(0.75) * x @ effects * scales
    v = known + 0.5 * rng.normal(size=known.shape) * scales
    u, b = rng.normal(0, 0.5, size=(shape[0], k)), rng.normal(0, 0.4, size=shape[0])
    users, items = np.nonzero(rng.random(shape) < 0.05)
    values, best = (
        3.5 + b[users] + w[items, k] + np.sum(u[users] * w[items, :k], axis=1) for w in (v, known)
    )
    values = values + 0.7 * rng.normal(size=len(users))
    aside = items < new
    ids = np.arange(new, shape[1])
    train = read_ratings((users[~aside], items[~aside], values[~aside]), item_ids=ids)
    factors = MatrixFactorization(8, num_threads=1).fit(train, item_features=x[ids])
    asked = (users[aside], items[aside])
    prediction: Prediction = factors.predict(*asked, item_features=(np.arange(new), x[:new]))
    plain = MatrixFactorization(8, num_threads=1).fit(train)
    level = plain.center + plain.users.means(plain.find_users(users[aside]))[:, -1]

    def miss(mean: np.ndarray) -> float:
        return float(np.sqrt(np.mean((values[aside] - mean) ** 2)))

    low, high = prediction.interval(0.9)
    inside = (low <= values[aside]) & (values[aside] <= high)
    return {
        "rmse": miss(prediction.mean), "optimum": miss(best[aside]), "users alone": miss(level),
        "most": float(inside.mean()),
    }  # fmt: skip
