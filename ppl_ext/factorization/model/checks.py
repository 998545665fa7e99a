"""What a fit refuses: settings, ratings and starts that it cannot work with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ppl_ext.factorization.data.ratings import Ratings
from ppl_ext.factorization.model.noise import Noise
from ppl_ext.factorization.model.posterior import Posterior
from ppl_ext.factorization.model.priors import AbstractPrior
from ppl_ext.factorization.model.settings import ModelSettings

__all__ = [
    "check_held_out",
    "check_ratings",
    "check_settings",
    "check_start",
]

_CALLED = "MatrixFactorization.fit"
# Fourth powers of ratings have to fit into single precision with room to spare.
_SPREADS = (1e-16, 1e16)


def check_settings(
    *,
    counts: Mapping[str, Any],
    priors: Mapping[str, Any],
    noise: Any,
    seed: Any,
    tolerance: Any,
    center: Any,
    start_sds: Any,
    dtype: np.dtype,
) -> None:
    """Refuse settings of the wrong type or outside their range.

    Args:
        counts: What has to be at least 1, by name.
        priors: The priors, by name.
        noise: The noise.
        seed: The seed.
        tolerance: Nats per rating.
        center: The constant, or None.
        start_sds: Standard deviations of the start, or None.
        dtype: Type of what is stored.

    Raises:
        ValueError: A setting is outside its range.
        TypeError: A setting is of another type.
    """
    for name, count in counts.items():
        if not _is_integer(count) or count < 1:
            raise ValueError(
                f"MatrixFactorization: {name}={count!r}; expected an integer of at least 1. "
                f"Write MatrixFactorization({name}=16), or leave it out."
            )
    if not _is_integer(seed) or seed < 0:
        raise ValueError(
            f"MatrixFactorization: seed={seed!r}; expected an integer that is not negative. "
            "Write MatrixFactorization(seed=0)."
        )
    for name, prior in priors.items():
        if not isinstance(prior, AbstractPrior):
            raise TypeError(
                f"MatrixFactorization: {name}={prior!r}; expected AbstractPrior, "
                f"an object and no class. Write MatrixFactorization({name}=FullCovariance())."
            )
    if not isinstance(noise, Noise):
        raise TypeError(
            f"MatrixFactorization: noise={noise!r}; expected Noise, an object and no class. "
            "Write MatrixFactorization(noise=Noise())."
        )
    if not _is_number(tolerance) or not tolerance >= 0:
        raise ValueError(
            f"MatrixFactorization: tolerance={tolerance!r}; expected nats per rating, at "
            "least 0. Write MatrixFactorization(tolerance=5e-4)."
        )
    if center is not None and not (_is_number(center) and np.isfinite(center)):
        raise ValueError(
            f"MatrixFactorization: center={center!r}; expected a finite number. Leave it "
            "out for the mean of the ratings."
        )
    if start_sds is not None and not _are_positive(start_sds):
        raise ValueError(
            f"MatrixFactorization: start_sds={start_sds!r}; expected two positive numbers: "
            "from zero, no factor ever moves. Leave it out, or write start_sds=(0.1, 1.0)."
        )
    if dtype not in (np.float32, np.float64):
        raise ValueError(
            f"MatrixFactorization: dtype={dtype}; expected float32 or float64. Leave it "
            "out, or write MatrixFactorization(dtype=np.float64)."
        )


def check_ratings(ratings: Any, dtype: np.dtype) -> None:
    """Refuse what is no table of ratings, or one that the precision of the model cannot hold.

    Args:
        ratings: The ratings.
        dtype: The precision.

    Raises:
        TypeError: These are no ratings.
        ValueError: There are none, or their spread is too large or too small.
    """
    if not isinstance(ratings, Ratings):
        raise TypeError(
            f"{_CALLED}: got a {type(ratings).__name__}; expected Ratings. Write "
            "fit(read_ratings(source))."
        )
    if not len(ratings):
        raise ValueError(
            f"{_CALLED}: there are no ratings; expected at least one. Read some with "
            "read_ratings(path)."
        )
    spread = float(np.std(ratings.values, dtype=np.float64))
    low, high = _SPREADS
    if dtype == np.float32 and spread and not low < spread < high:
        raise ValueError(
            f"{_CALLED}: the ratings have a standard deviation of {spread:.3g}; expected {low:g} "
            f"to {high:g}, as single precision holds no more. Divide the ratings by it, or write "
            "MatrixFactorization(dtype=np.float64)."
        )


def check_held_out(ratings: Ratings, held_out: Any) -> None:
    """Refuse ratings held out that are empty or of users and items the fit does not know.

    Args:
        ratings: The ratings of the fit.
        held_out: The ratings held out.

    Raises:
        TypeError: These are no ratings.
        ValueError: There are none, or a label is unknown.
    """
    if not isinstance(held_out, Ratings):
        raise TypeError(
            f"{_CALLED}: held_out is a {type(held_out).__name__}; expected Ratings. Write "
            "ratings, held_out = split_by_row(ratings, 0.05)."
        )
    if not len(held_out):
        raise ValueError(
            f"{_CALLED}: held_out has no ratings; expected some. Leave it out, or write "
            "ratings, held_out = split_by_row(ratings, 0.05)."
        )
    for name, known, labels in (
        ("user", ratings.user_ids, held_out.user_ids[np.unique(held_out.users)]),
        ("item", ratings.item_ids, held_out.item_ids[np.unique(held_out.items)]),
    ):
        if (unknown := labels[~np.isin(labels, known)]).size:
            raise ValueError(
                f"{_CALLED}: held_out has ratings of {name} {unknown[0].item()!r}, and "
                f"{unknown.size - 1:,} more, whom the fit does not know; expected the same "
                f"{name}s. Split one table: split_by_row(ratings, 0.05)."
            )


def check_start(settings: ModelSettings, start: Posterior) -> None:
    """Refuse factors that a model of these settings cannot go on from.

    Args:
        settings: The settings.
        start: Posterior of the earlier fit.

    Raises:
        ValueError: The settings differ.
    """
    found = (
        start.num_factors,
        start.biases,
        bool(start.users.concentration),
        bool(start.items.concentration),
    )
    noise = settings.noise
    wanted = (settings.num_factors, settings.biases, noise.by_user, noise.by_item)
    if found != wanted:
        raise ValueError(
            f"{_CALLED}: start has (num_factors, biases, by_user, by_item) = {found}; expected "
            f"{wanted}, as this model has. Give both the same settings."
        )
    if settings.center is not None and settings.center != start.center:
        raise ValueError(
            f"{_CALLED}: start has the center {start.center:g}, and the model "
            f"{settings.center:g}; expected the same, since biases are relative to it. Leave out "
            "center=."
        )


def _is_integer(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_integer(value) or isinstance(value, float | np.floating)


def _are_positive(values: Any) -> bool:
    if not isinstance(values, Sequence | np.ndarray) or len(values) != 2:
        return False
    return all(_is_number(value) and 0 < value < np.inf for value in values)
