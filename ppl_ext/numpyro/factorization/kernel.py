"""The coordinate updates of a block of rows as a JAX program.

A side is two arrays: ``table[place, packed]``, the lower triangles of ``E[a] E[w w']``, and
``summary[place, dim + 1]``, ``E[a] (E[w], 1)``. Nothing of the size of ratings times a triangle is
ever stored: XLA fuses the reading of a segment's triangles with their sum. Segments are added up
in the precision of the table, everything after that in float64.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import digamma, gammaln

__all__ = ["Knowns", "Rows", "Totals", "add_ratings", "solve_rows"]


class Knowns(NamedTuple):
    """What a half sweep holds fixed beside the other side.

    Args:
        precision: ``[dim, dim]``, of the prior.
        mean: ``[dim]``, of the prior.
        noise_precision: Of a rating whose weights are one.
        concentration: Of the weights.
        center: The constant of the model.
    """

    precision: jax.Array
    mean: jax.Array
    noise_precision: jax.Array
    concentration: jax.Array
    center: jax.Array


class Rows(NamedTuple):
    """Updated rows.

    Args:
        table: ``[row, packed]``.
        summary: ``[row, dim + 1]``.
        errors: ``[row]``, expected squared errors, weighted by the other side alone.
    """

    table: jax.Array
    summary: jax.Array
    errors: jax.Array


class Totals(NamedTuple):
    """Sums over updated rows; see `ppl_ext.factorization.model.hyperparameters.SideSums`."""

    first: jax.Array
    second: jax.Array
    log_det: jax.Array
    error: jax.Array
    weight: jax.Array
    log_weight: jax.Array
    counted: jax.Array
    scatter: jax.Array


def add_ratings(
    table: jax.Array,
    summary: jax.Array,
    columns: jax.Array,
    values: jax.Array,
    owners: jax.Array,
    chunks: jax.Array,
    center: jax.Array,
    rows: int,
) -> jax.Array:
    """Add up the other side over the ratings of the rows of a block.

    Args:
        table: The other side's.
        summary: The other side's.
        columns: ``[chunk, segment, width]``, places on the other side.
        values: ``[chunk, segment, width]``, the ratings.
        owners: ``[chunk, segment]``, rows.
        chunks: Number of chunks that hold anything.
        center: What is taken from every rating.
        rows: Number of rows.

    Returns:
        ``[row, packed + 2 (dim + 1) + 1]``, float64: sums of the table, of the summary, of the
        summary times the rating, and of the weights times its square.
    """
    packed, dim = table.shape[1], summary.shape[1] - 1
    width = columns.shape[2]

    def take(array: jax.Array, places: jax.Array) -> jax.Array:
        return array.at[places].get(mode="promise_in_bounds")

    def add_chunk(chunk: jax.Array, total: jax.Array) -> jax.Array:
        where = columns[chunk]
        terms = [take(table, where[:, place]) for place in range(width)]
        summaries = take(summary, where).astype(jnp.float64)
        off = values[chunk].astype(jnp.float64) - center
        parts = [
            _add_pairwise(terms).astype(jnp.float64),
            summaries.sum(axis=1),
            jnp.einsum("sw,swk->sk", off, summaries),
            jnp.einsum("sw,sw->s", off**2, summaries[..., -1])[:, None],
        ]
        begin = 0
        for part in parts:
            into = total.at[owners[chunk], begin : begin + part.shape[1]]
            total = into.add(part, indices_are_sorted=True, mode="promise_in_bounds")
            begin += part.shape[1]
        return total

    start = jnp.zeros((rows, packed + 2 * dim + 3), jnp.float64)
    return jax.lax.fori_loop(0, chunks, add_chunk, start)


def _add_pairwise(terms: list[jax.Array]) -> jax.Array:
    """Add arrays two by two, in one fused loop, with the rounding error of a tree."""
    while len(terms) > 1:
        terms = [a + b for a, b in zip(terms[::2], terms[1::2], strict=True)]
    return terms[0]


def solve_rows(
    sums: jax.Array,
    weights: jax.Array,
    counts: jax.Array,
    knowns: Knowns,
    *,
    bias: bool,
    diagonal: bool,
    weighted: bool,
    dtype: np.dtype,
) -> tuple[Rows, Totals]:
    """Solve the rows of a block, all at once.

    Args:
        sums: From `add_ratings`.
        weights: ``[row]``, ``E[a]`` before the update.
        counts: ``[row]``, number of ratings; -1 for an empty place.
        knowns: What is held fixed.
        bias: True where the last element of w is a bias.
        diagonal: True for diagonal covariances.
        weighted: True where the weights are learned.
        dtype: Type of what is stored.

    Returns:
        The rows, zero at empty places, and sums over the others.
    """
    dim = knowns.mean.shape[0]
    real = counts >= 0
    tau = knowns.noise_precision
    quadratic = sums[:, _find_design(dim, bias)]
    packed = dim * (dim + 1) // 2
    times_rating = sums[:, packed + dim + 1 : packed + 2 * dim + 2]
    linear, errors = times_rating[:, :dim], sums[:, -1]
    if bias:
        # The other side's bias is no part of the design but an offset of the rating.
        k = dim - 1
        row = k * dim // 2  # where the bias' row of a triangle starts
        errors = errors + sums[:, row + k] - 2 * times_rating[:, k]
        own = times_rating[:, dim] - sums[:, packed + k]
        linear = jnp.concatenate([linear[:, :k] - sums[:, row : row + k], own[:, None]], axis=1)
    scale = (tau * weights.astype(jnp.float64))[:, None]
    precisions = scale[..., None] * quadratic + knowns.precision
    right = scale * linear + knowns.precision @ knowns.mean
    lower = jnp.linalg.cholesky(precisions, symmetrize_input=False)
    eye = jnp.broadcast_to(jnp.eye(dim), lower.shape)
    inverse = jax.lax.linalg.triangular_solve(lower, eye, left_side=True, lower=True)
    means = jnp.einsum("rij,ri->rj", inverse, jnp.einsum("rij,rj->ri", inverse, right))
    if diagonal:
        own = jnp.diagonal(precisions, axis1=1, axis2=2)
        log_dets = jnp.log(own).sum(axis=1)
        covariances = jnp.eye(dim) / own[:, None, :]
    else:
        log_dets = 2 * jnp.log(jnp.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
        covariances = jnp.einsum("rki,rkj->rij", inverse, inverse)
    second = covariances + means[:, :, None] * means[:, None, :]
    errors = errors - 2 * (means * linear).sum(axis=1) + (second * quadratic).sum(axis=(1, 2))
    # Rounding alone makes it negative, where a row is fitted exactly.
    errors = jnp.where(real, jnp.maximum(errors, 0.0), 0.0)
    number = jnp.maximum(counts, 0).astype(jnp.float64)
    shape = rate = new_weights = jnp.ones_like(errors)
    if weighted:
        shape = knowns.concentration + number / 2
        rate = knowns.concentration + tau * errors / 2
        new_weights = shape / rate
    log_weights = digamma(shape) - jnp.log(rate)
    triangles = second[:, *np.tril_indices(dim)]
    held = jnp.where(real, new_weights, 0.0)[:, None]
    ones = jnp.ones_like(errors)[:, None]
    rows = Rows(
        (held * triangles).astype(dtype),
        (held * jnp.concatenate([means, ones], axis=1)).astype(dtype),
        errors,
    )
    zero = jnp.zeros(())
    totals = Totals(
        jnp.where(real[:, None], means, 0.0).sum(axis=0),
        jnp.where(real[:, None, None], second, 0.0).sum(axis=0),
        jnp.where(real, log_dets, 0.0).sum(),
        (new_weights * errors).sum(),
        jnp.where(real, new_weights, 0.0).sum(),
        jnp.where(real, log_weights, 0.0).sum() if weighted else zero,
        (number * log_weights).sum() if weighted else zero,
        jnp.where(real, shape * digamma(shape) - gammaln(shape) - shape, 0.0).sum(),
    )
    return rows, totals


def _find_design(dim: int, bias: bool) -> np.ndarray:
    """Where each element of the design's second moment, ``[dim, dim]``, stands in the sums."""
    packed = dim * (dim + 1) // 2
    where = np.empty((dim, dim), np.int64)
    rows, columns = np.tril_indices(dim)
    where[rows, columns] = where[columns, rows] = np.arange(packed)
    if bias:
        # A rating holds (v, 1) where the table has (v, c).
        plain = packed + np.arange(dim + 1)
        where[-1, :-1] = where[:-1, -1] = plain[: dim - 1]
        where[-1, -1] = plain[dim]
    return where
