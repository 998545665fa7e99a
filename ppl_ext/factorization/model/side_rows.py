"""Where a fit starts: at random, or from an earlier one."""

from dataclasses import replace
from importlib.util import find_spec

import numpy as np

from ppl_ext.factorization.model.cache_lines import zeros_on_lines
from ppl_ext.factorization.model.priors import AbstractPrior
from ppl_ext.factorization.model.regression import Regression
from ppl_ext.factorization.model.side_posterior import START_CONCENTRATION, TILE, Side, pack

__all__ = [
    "adopt_rows",
    "append_rows",
    "make_stranger",
    "prior_side",
    "require_numba",
    "scatter_rows",
    "start_side",
    "take_rows",
    "write_rows",
]

# Rows written at once.
_PIECE = 32


def require_numba(called: str) -> None:
    """Say how to install what compiles the kernels, where it is missing."""
    if find_spec("numba") is None:
        raise ModuleNotFoundError(
            f"{called}: numba, which compiles the updates, is not installed; expected version "
            '0.61 or later. Run: pip install "ppl-ext[factorization]".'
        )


def start_side(
    ids: np.ndarray,
    dtype: np.dtype,
    variances: np.ndarray,
    prior: AbstractPrior,
    *,
    weighted: bool,
    bias: bool,
    regression: Regression | None = None,
    offsets: np.ndarray | None = None,
) -> Side:
    """A side whose rows all have a posterior of mean zero and no spread."""
    dim = len(variances)
    tiles = -(-dim * (dim + 1) // 2 // TILE)
    summary = np.zeros((len(ids), dim + 1), dtype)
    summary[:, -1] = 1
    start = START_CONCENTRATION if weighted else 0.0
    return Side(
        ids=ids,
        table=zeros_on_lines((tiles, len(ids), TILE), dtype),
        summary=summary,
        prior=prior.start(variances, bias),
        concentration=start,
        shape=np.full(len(ids), start),
        rate=np.full(len(ids), start),
        regression=regression,
        offsets=None if offsets is None else offsets.astype(dtype),
    )


def write_rows(
    side: Side,
    rows: np.ndarray,
    means: np.ndarray,
    covariances: np.ndarray,
    weights: np.ndarray | float = 1.0,
) -> None:
    """Set the posteriors of some rows, in place.

    Args:
        side: The side.
        rows: Positions.
        means: ``[row, dim]``.
        covariances: ``[row, dim, dim]``, or one for all.
        weights: ``[row]``, ``E[a]``, or one for all.
    """
    scale = np.broadcast_to(weights, rows.shape)[:, None]
    tiles, dtype = len(side.table), side.table.dtype
    # In pieces: the matrices of all rows, in double precision, are several times the table.
    for begin in range(0, len(rows), _PIECE):
        piece = slice(begin, begin + _PIECE)
        own = covariances if covariances.ndim == 2 else covariances[piece]
        second = pack(own + means[piece, :, None] * means[piece, None, :])
        padded = np.zeros((len(second), tiles * TILE), dtype)
        padded[:, : second.shape[1]] = second
        pieces = padded.reshape(len(second), tiles, TILE).transpose(1, 0, 2)
        side.table[:, rows[piece]] = pieces * scale[piece]
    side.summary[rows, :-1] = means
    side.summary[rows, -1] = 1
    side.summary[rows] *= scale


def scatter_rows(
    side: Side, rng: np.random.Generator, sd: float, own_sd: float, factors: int
) -> Side:
    """Scatter the factors of a side at random, biases at zero, so that users can tell them apart.

    Args:
        side: The side; its arrays are written.
        rng: Source of randomness.
        sd: Standard deviation of the means.
        own_sd: Standard deviation of each factor's posterior around its mean.
        factors: Number of factors.

    Returns:
        The side.
    """
    means = np.zeros((len(side), side.dim))
    means[:, :factors] = rng.normal(0, sd, size=(len(side), factors))
    own = np.diag(np.where(np.arange(side.dim) < factors, own_sd**2, 0.0))
    write_rows(side, np.arange(len(side)), means, own)
    return side


def adopt_rows(side: Side, known: Side) -> Side:
    """Take over the posteriors of the rows that an earlier fit knows; the others get its prior.

    Args:
        side: The side to fit; its arrays are written.
        known: The same side of the earlier fit.

    Returns:
        The side, with the earlier prior.
    """
    position = {label: row for row, label in enumerate(known.ids.tolist())}
    found = np.array([position.get(label, -1) for label in side.ids.tolist()], dtype=np.intp)
    old, new = np.flatnonzero(found >= 0), np.flatnonzero(found < 0)
    side.table[:, old] = known.table[:, found[old]]
    side.summary[old] = known.summary[found[old]]
    side = replace(side, prior=known.prior)
    means = np.broadcast_to(side.prior_means(new), (len(new), side.dim))
    write_rows(side, new, means, np.linalg.inv(known.prior.precision))
    shape = np.full(len(side), known.concentration)
    rate = shape.copy()
    shape[old], rate[old] = known.shape[found[old]], known.rate[found[old]]
    return replace(side, concentration=known.concentration, shape=shape, rate=rate)


def prior_side(like: Side, ids: np.ndarray, offsets: np.ndarray | None = None) -> Side:
    """New rows of a side, each with the prior as its posterior.

    Args:
        like: The side.
        ids: Labels of the new rows.
        offsets: ``[row, dim]``, what their features add to the prior's mean.

    Returns:
        The new rows alone.
    """
    empty = replace(
        like,
        ids=ids,
        table=zeros_on_lines((len(like.table), len(ids), TILE), like.table.dtype),
        summary=np.zeros((len(ids), like.dim + 1), like.summary.dtype),
        shape=np.full(len(ids), like.concentration),
        rate=np.full(len(ids), like.concentration),
        offsets=None if offsets is None else offsets.astype(like.summary.dtype),
    )
    means = np.broadcast_to(empty.prior_means(), (len(ids), like.dim))
    write_rows(empty, np.arange(len(ids)), means, np.linalg.inv(like.prior.precision))
    return empty


def take_rows(side: Side, rows: np.ndarray) -> Side:
    """Some rows of a side."""
    return replace(
        side,
        ids=side.ids[rows],
        table=side.table[:, rows],
        summary=side.summary[rows],
        shape=side.shape[rows],
        rate=side.rate[rows],
        offsets=None if side.offsets is None else side.offsets[rows],
    )


def make_stranger(side: Side) -> Side:
    """One row of whom nothing is known, features included.

    Its posterior is the prior, about the features of the side's rows where there are some.
    """
    prior, offsets = side.prior, side.offsets
    stranger = prior_side(side, np.zeros(1, dtype=side.ids.dtype))
    if offsets is not None and len(offsets):
        spread = np.cov(offsets.T, bias=True).reshape(side.dim, side.dim)
        covariance = np.linalg.inv(prior.precision) + spread
        mean = prior.mean + offsets.mean(axis=0)
        write_rows(stranger, np.zeros(1, dtype=np.intp), mean[None], covariance)
    return stranger


def append_rows(side: Side, more: Side) -> Side:
    """Two lots of rows of one side, one after the other."""
    offsets = None
    if side.offsets is not None and more.offsets is not None:
        offsets = np.concatenate([side.offsets, more.offsets])
    return replace(
        side,
        ids=np.concatenate([side.ids, more.ids]),
        table=np.concatenate([side.table, more.table], axis=1),
        summary=np.concatenate([side.summary, more.summary]),
        shape=np.concatenate([side.shape, more.shape]),
        rate=np.concatenate([side.rate, more.rate]),
        offsets=offsets,
    )
