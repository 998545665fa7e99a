"""The coordinate update of a group of rows, compiled.

A side of the model (the users, or the items) is two arrays. With w[row] the latent vector of a row
(its factors and, last, its bias), a[row] its noise weight and E the expectation under q:

- ``table[tile, row, TILE]``: the lower triangle of ``E[a] E[w w']``, row by row, cut into tiles;
- ``summary[row, dim + 1]``: ``E[a] (E[w], 1)``.

A row is updated from sums of the other side's arrays over its ratings (see `gather_kernel`), in
double precision. Rows are solved ``LANES`` at a time, so that the vector units are full whatever
the size of the matrices.
"""

import numpy as np

from ppl_ext.factorization.model.side_posterior import TILE
from ppl_ext.factorization.solver.batched_cholesky import (
    compile_function,
    factorize_lanes,
    invert_lanes,
    solve_lanes,
)
from ppl_ext.factorization.solver.vectors.lane_layout import (
    add_moments,
    collect_lanes,
    scale_lanes,
    spread_rows,
)
from ppl_ext.factorization.solver.vectors.registers import LANES

__all__ = ["update_group"]

_TOGETHER = 8


@compile_function
def update_group(
    first, rows, indptr, sums, weighted, table, summary, errors,
    precision, pull, noise_precision, concentration, bias, diagonal, moments, means,
    G, A, upper, linear, mean,
):  # fmt: skip
    """Update the rows from ``first`` on, all else fixed.

    Args:
        first: First row.
        rows: Number of rows.
        indptr: ``[row + 1]``, where the ratings of each row start.
        sums: ``[tile, row, TILE]``, of the other side's table over the ratings of each row.
        weighted: ``[power, row, size]``, of its summary, times no, one or two powers of the
            ratings; the last column is that of its weights.
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
        moments: ``[packed, lane]``, sum of ``E[w w']`` over the rows; added to.
        means: ``[dim]``, sum of ``E[w]``; added to.
        G: ``[tile * TILE, lane]``, to work in; as are the others.
        A: ``[tile * TILE, lane]``, zeros behind the triangle.
        upper: ``[dim * dim, lane]``.
        linear: ``[dim, lane]``.
        mean: ``[dim, lane]``.

    Returns:
        Sum of the log determinants of the precisions, and of the errors times ``E[a]``.
    """
    dim = pull.shape[1]
    shared = pull.shape[0] == 1
    packed = precision.shape[0]
    tiles = table.shape[0]
    last = weighted.shape[2] - 1
    factors = dim - 1 if bias else dim
    bias_row = factors * (factors + 1) // 2  # where the bias' row of a triangle starts
    scale, error, live, weight = np.empty((4, LANES))
    own_rows = np.empty(LANES, np.int64)
    lanes = len(error)  # loops of a constant length are not vectorised
    log_determinant = 0.0
    weighted_error = 0.0
    for lead in range(0, rows, LANES):
        filled = min(LANES, rows - lead)
        for w in range(lanes):
            # Idle lanes repeat the last row, so that they stay finite.
            own_rows[w] = lead + min(w, filled - 1)
        spread_rows(sums, sums.shape[1], own_rows, G, tiles * TILE)
        for w in range(lanes):
            g = own_rows[w]
            live[w] = 1.0 if w < filled else 0.0
            scale[w] = noise_precision * summary[first + g, dim]
            error[w] = weighted[2, g, last]
            for k in range(dim):
                linear[k, w] = weighted[1, g, k]
            if bias:
                # The other side's bias is no part of the design but an offset of the rating.
                error[w] += G[bias_row + factors, w] - 2.0 * weighted[1, g, factors]
                for k in range(factors):
                    linear[k, w] -= G[bias_row + k, w]
                    G[bias_row + k, w] = weighted[0, g, k]
                linear[factors, w] = weighted[1, g, last] - weighted[0, g, factors]
                G[bias_row + factors, w] = weighted[0, g, last]
            own = 0 if shared else first + g
            for k in range(dim):
                mean[k, w] = scale[w] * linear[k, w] + pull[own, k]
        scale_lanes(G, scale, precision, A, packed)
        if diagonal:
            for k in range(dim):
                for w in range(filled):
                    log_determinant += np.log(A[k * (k + 1) // 2 + k, w])
        factorize_lanes(A, dim)
        solve_lanes(A, mean, dim)
        if diagonal:
            for r in range(dim):
                rr = r * (r + 1) // 2
                for c in range(r):
                    for w in range(lanes):
                        A[rr + c, w] = 0.0
                for w in range(lanes):
                    A[rr + r, w] = 1.0 / (scale[w] * G[rr + r, w] + precision[rr + r])
        else:
            for w in range(filled):
                # Logarithms are dear: one for each few numbers, whose product is in range.
                for start in range(0, dim, _TOGETHER):
                    product = 1.0
                    for r in range(start, min(dim, start + _TOGETHER)):
                        product *= A[r * (r + 1) // 2 + r, w]
                    log_determinant -= 2.0 * np.log(product)
            invert_lanes(A, upper, dim)
        for r in range(dim):
            for w in range(lanes):
                error[w] -= 2.0 * mean[r, w] * linear[r, w]
        add_moments(A, mean, G, live, moments, error, dim)
        for w in range(lanes):
            own_rows[w] += first
            row = own_rows[w]
            count = indptr[row + 1] - indptr[row]
            # Rounding alone makes it negative, where a row is fitted exactly.
            errors[row] = max(error[w], 0.0)
            weight[w] = 1.0
            if concentration > 0.0:
                weight[w] = (concentration + 0.5 * count) / (
                    concentration + 0.5 * noise_precision * errors[row]
                )
            weighted_error += live[w] * weight[w] * errors[row]
            for k in range(dim):
                means[k] += live[w] * mean[k, w]
                summary[row, k] = weight[w] * mean[k, w]
            summary[row, dim] = weight[w]
        collect_lanes(table, table.shape[1], own_rows, A, weight, tiles * TILE)
    return log_determinant, weighted_error
