"""Small symmetric systems solved side by side, compiled.

Arrays are ``[packed, lane]``: the lower triangle of a matrix row by row, and as many matrices as
there are lanes, so that the vector units are full whatever the size of the matrices.
"""

import numpy as np
from numba import njit

from ppl_ext.factorization.solver.simd import LANES, multiply_lanes

__all__ = ["compile_function", "factorize_lanes", "invert_lanes", "solve_lanes"]

# Contraction alone is allowed of fast mathematics: a fused product rounds once less.
compile_function = njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})


@compile_function
def factorize_lanes(A, dim):
    """Cholesky factors in place, [packed, lane]; diagonals hold their reciprocals."""
    lanes = A.shape[1]  # a variable, as loops of constant length are not vectorised
    product = np.empty((1, LANES))
    for j in range(dim):
        jj = j * (j + 1) // 2
        for c in range(j + 1):
            cc = c * (c + 1) // 2
            multiply_lanes(A, jj, A, cc, c, product, 0)
            if c < j:
                for w in range(lanes):
                    A[jj + c, w] = (A[jj + c, w] - product[0, w]) * A[cc + c, w]
            else:
                for w in range(lanes):
                    A[jj + c, w] = 1.0 / np.sqrt(A[jj + c, w] - product[0, w])


@compile_function
def invert_lanes(A, upper, dim):
    """Overwrite factors from `factorize_lanes` with the inverse matrices."""
    lanes = A.shape[1]
    product = np.empty((1, LANES))
    # The inverse of the factor, transposed, so that both products below run along rows.
    for k in range(dim):
        kd = k * dim
        for w in range(lanes):
            upper[kd + k, w] = A[k * (k + 1) // 2 + k, w]
        for r in range(k + 1, dim):
            rr = r * (r + 1) // 2
            multiply_lanes(A, rr + k, upper, kd + k, r - k, product, 0)
            for w in range(lanes):
                upper[kd + r, w] = -A[rr + r, w] * product[0, w]
    for p in range(dim):
        pp = p * (p + 1) // 2
        for q in range(p + 1):
            multiply_lanes(upper, p * dim + p, upper, q * dim + p, dim - p, A, pp + q)


@compile_function
def solve_lanes(A, right, mean, dim):
    """Solve with factors from `factorize_lanes`: ``mean = A^-1 right``, [dim, lane]."""
    lanes = A.shape[1]
    product = np.empty((1, LANES))
    for j in range(dim):
        jj = j * (j + 1) // 2
        multiply_lanes(A, jj, mean, 0, j, product, 0)
        for w in range(lanes):
            mean[j, w] = (right[j, w] - product[0, w]) * A[jj + j, w]
    for j in range(dim - 1, -1, -1):
        jj = j * (j + 1) // 2
        for w in range(lanes):
            mean[j, w] *= A[jj + j, w]
        for k in range(j):
            for w in range(lanes):
                mean[k, w] -= A[jj + k, w] * mean[j, w]
