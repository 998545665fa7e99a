"""The coordinate update of a block of rows, compiled.

A side of the model (the users, or the items) is two arrays. With w[row] the latent vector of a row
(its factors and, last, its bias), a[row] its noise weight and E the expectation under q:

- ``table[tile, row, 64]``: the lower triangle of ``E[a] E[w w']``, row by row, cut into
  tiles of 64;
- ``summary[row, dim + 1]``: ``E[a] (E[w], 1)``.

A row is updated from sums of the other side's arrays over its ratings. Sums of single-precision
numbers are carried over to double precision every ``_FLUSH`` ratings, everything after the sums is
double precision. Rows are solved ``LANES`` at a time, so that the vector units are full whatever
the size of the matrices.

A sweep gathers by tile, so that the part of the table in use stays in the cache: of 100 ratings
times 561 numbers, nothing but sums is ever stored.
"""

import numpy as np

from ppl_ext.factorization.model.side_posterior import TILE
from ppl_ext.factorization.solver.batched_cholesky import (
    compile_function,
    factorize_lanes,
    invert_lanes,
    solve_lanes,
)
from ppl_ext.factorization.solver.simd import LANES, add_rows

__all__ = ["GROUP", "update_rows"]

# Rows gathered before they are solved: a tile is read from far memory once for so many rows.
GROUP = 512
_FLUSH = 512


@compile_function
def _gather_tile(table, begin, columns, start, stop, partial, total):
    """Add up one tile of the table over the ratings of one row."""
    for t in range(total.shape[0]):
        total[t] = 0.0
    for position in range(start, stop, _FLUSH):
        add_rows(table, begin, columns, position, min(stop, position + _FLUSH), partial)
        for t in range(total.shape[0]):
            total[t] += partial[t]


@compile_function
def _gather_summary(summary, columns, values, center, start, stop, plain, weighted):
    """Add up the summaries of one row's ratings, plain and times rating; return the squares."""
    size = summary.shape[1]
    plain[:] = 0.0
    weighted[:] = 0.0
    squares = 0.0
    for position in range(start, stop):
        column = columns[position]
        value = np.float64(values[position]) - center
        for k in range(size):
            plain[k] += summary[column, k]
            weighted[k] += value * summary[column, k]
        squares += value * value * summary[column, size - 1]
    return squares


@compile_function
def update_rows(
    begin,
    end,
    indptr,
    columns,
    values,
    center,
    other_table,
    other_summary,
    table,
    summary,
    errors,
    precision,
    pull,
    noise_precision,
    concentration,
    bias,
    diagonal,
    moments,
    means,
):
    """Update the rows ``begin:end`` of one side, all else fixed.

    Args:
        begin: First row.
        end: One past the last row.
        indptr: ``[row + 1]``, where the ratings of each row start.
        columns: ``[rating]``, the other side's row of each rating.
        values: ``[rating]``, the ratings.
        center: What is taken from every rating.
        other_table: The other side's table.
        other_summary: The other side's summary.
        table: This side's table; written.
        summary: This side's summary; its last column is read as ``E[a]``; written.
        errors: ``[row]``, expected squared error over the ratings of a row, each times the other
            side's noise weight; written.
        precision: ``[packed]``, prior precision, lower triangle.
        pull: ``[row, dim]``, prior precision times prior mean; one row where all share it.
        noise_precision: Precision of the noise of a row of weight one.
        concentration: Shape and rate of the Gamma prior of ``a``; 0 where all weights are one.
        bias: True where the last element of w is a bias.
        diagonal: True for a diagonal covariance.
        moments: ``[packed]``, sum of ``E[w w']`` over the rows; written.
        means: ``[dim]``, sum of ``E[w]``; written.

    Returns:
        Sum of the log determinants of the precisions, and of the errors times ``E[a]``.
    """
    dim = pull.shape[1]
    shared = pull.shape[0] == 1
    packed = precision.shape[0]
    tiles = table.shape[0]
    other_rows = other_table.shape[1]
    flat = other_table.reshape(-1)
    factors = dim - 1 if bias else dim
    bias_row = factors * (factors + 1) // 2  # where the bias' row of a triangle starts
    sums = np.empty((GROUP, tiles, TILE))
    plain = np.empty((GROUP, dim + 1))
    weighted = np.empty((GROUP, dim + 1))
    squares = np.empty(GROUP)
    partial = np.empty(TILE, table.dtype)
    G = np.empty((packed, LANES))
    A = np.empty((packed, LANES))
    upper = np.empty((1 if diagonal else dim * dim, LANES))
    linear = np.empty((dim, LANES))
    right = np.empty((dim, LANES))
    mean = np.empty((dim, LANES))
    scale = np.empty(LANES)
    error = np.empty(LANES)
    lanes = len(error)  # loops of a constant length are not vectorised
    log_determinant = 0.0
    weighted_error = 0.0
    moments[:] = 0.0
    means[:] = 0.0
    for first in range(begin, end, GROUP):
        rows = min(GROUP, end - first)
        for tile in range(tiles):
            for g in range(rows):
                _gather_tile(
                    flat,
                    tile * other_rows * TILE,
                    columns,
                    indptr[first + g],
                    indptr[first + g + 1],
                    partial,
                    sums[g, tile],
                )
        for g in range(rows):
            squares[g] = _gather_summary(
                other_summary,
                columns,
                values,
                center,
                indptr[first + g],
                indptr[first + g + 1],
                plain[g],
                weighted[g],
            )
        for lead in range(0, rows, LANES):
            filled = min(LANES, rows - lead)
            for tile in range(tiles):
                for t in range(min(TILE, packed - tile * TILE)):
                    for w in range(lanes):
                        # Idle lanes repeat the last row, so that they stay finite.
                        G[tile * TILE + t, w] = sums[lead + min(w, filled - 1), tile, t]
            for w in range(lanes):
                g = lead + min(w, filled - 1)
                scale[w] = noise_precision * summary[first + g, dim]
                error[w] = squares[g]
                for k in range(dim):
                    linear[k, w] = weighted[g, k]
                if bias:
                    # The other side's bias is no part of the design but an offset of the rating.
                    error[w] += G[bias_row + factors, w] - 2.0 * weighted[g, factors]
                    for k in range(factors):
                        linear[k, w] -= G[bias_row + k, w]
                        G[bias_row + k, w] = plain[g, k]
                    linear[factors, w] = weighted[g, dim] - plain[g, factors]
                    G[bias_row + factors, w] = plain[g, dim]
            for p in range(packed):
                for w in range(lanes):
                    A[p, w] = scale[w] * G[p, w] + precision[p]
            for w in range(lanes):
                own = 0 if shared else first + lead + min(w, filled - 1)
                for k in range(dim):
                    right[k, w] = scale[w] * linear[k, w] + pull[own, k]
            if diagonal:
                for k in range(dim):
                    kk = k * (k + 1) // 2 + k
                    for w in range(lanes):
                        upper[0, w] = A[kk, w]
                    for w in range(filled):
                        log_determinant += np.log(upper[0, w])
            factorize_lanes(A, dim)
            solve_lanes(A, right, mean, dim)
            if diagonal:
                for r in range(dim):
                    rr = r * (r + 1) // 2
                    for c in range(r):
                        for w in range(lanes):
                            A[rr + c, w] = 0.0
                    for w in range(lanes):
                        A[rr + r, w] = 1.0 / (scale[w] * G[rr + r, w] + precision[rr + r])
            else:
                for r in range(dim):
                    rr = r * (r + 1) // 2 + r
                    for w in range(filled):
                        log_determinant -= 2.0 * np.log(A[rr, w])
                invert_lanes(A, upper, dim)
            for r in range(dim):
                rr = r * (r + 1) // 2
                for w in range(lanes):
                    error[w] -= 2.0 * mean[r, w] * linear[r, w]
                for c in range(r + 1):
                    twice = 2.0 if c < r else 1.0
                    for w in range(lanes):
                        A[rr + c, w] += mean[r, w] * mean[c, w]
                        error[w] += twice * A[rr + c, w] * G[rr + c, w]
            for w in range(filled):
                row = first + lead + w
                count = indptr[row + 1] - indptr[row]
                # Rounding alone makes it negative, where a row is fitted exactly.
                errors[row] = max(error[w], 0.0)
                weight = 1.0
                if concentration > 0.0:
                    weight = (concentration + 0.5 * count) / (
                        concentration + 0.5 * noise_precision * errors[row]
                    )
                weighted_error += weight * errors[row]
                for k in range(dim):
                    means[k] += mean[k, w]
                    summary[row, k] = weight * mean[k, w]
                summary[row, dim] = weight
                for tile in range(tiles):
                    for t in range(min(TILE, packed - tile * TILE)):
                        table[tile, row, t] = weight * A[tile * TILE + t, w]
            for p in range(packed):
                for w in range(filled):
                    moments[p] += A[p, w]
    return log_determinant, weighted_error
