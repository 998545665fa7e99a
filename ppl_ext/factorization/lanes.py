"""Small symmetric systems solved side by side, compiled.

Arrays are ``[packed, lane]``: the lower triangle of a matrix row by row, and as many matrices as
there are lanes. The inner loops run over lanes, so that they fill the vector units whatever the
size of the matrices.
"""

import numpy as np
from numba import njit

__all__ = ["compile_function", "factorize_lanes", "invert_lanes", "solve_lanes"]

# Contraction alone is allowed of fast mathematics: a fused product rounds once less.
compile_function = njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})


@compile_function
def factorize_lanes(A, dim):
    """Cholesky factors in place, [packed, lane]; diagonals hold their reciprocals."""
    lanes = A.shape[1]
    for j in range(dim):
        jj = j * (j + 1) // 2
        for c in range(j + 1):
            cc = c * (c + 1) // 2
            k = 0
            while k + 3 < c:
                for w in range(lanes):
                    A[jj + c, w] -= (
                        A[jj + k, w] * A[cc + k, w] + A[jj + k + 1, w] * A[cc + k + 1, w]
                    ) + (A[jj + k + 2, w] * A[cc + k + 2, w] + A[jj + k + 3, w] * A[cc + k + 3, w])
                k += 4
            while k < c:
                for w in range(lanes):
                    A[jj + c, w] -= A[jj + k, w] * A[cc + k, w]
                k += 1
            if c < j:
                for w in range(lanes):
                    A[jj + c, w] *= A[cc + c, w]
            else:
                for w in range(lanes):
                    A[jj + c, w] = 1.0 / np.sqrt(A[jj + c, w])


@compile_function
def invert_lanes(A, upper, dim):
    """Overwrite factors from `factorize_lanes` with the inverse matrices."""
    lanes = A.shape[1]
    # The inverse of the factor, transposed, so that both products below run along rows.
    for k in range(dim):
        kd = k * dim
        for w in range(lanes):
            upper[kd + k, w] = A[k * (k + 1) // 2 + k, w]
        for r in range(k + 1, dim):
            rr = r * (r + 1) // 2
            for w in range(lanes):
                upper[kd + r, w] = 0.0
            q = k
            while q + 3 < r:
                for w in range(lanes):
                    upper[kd + r, w] += (
                        A[rr + q, w] * upper[kd + q, w] + A[rr + q + 1, w] * upper[kd + q + 1, w]
                    ) + (
                        A[rr + q + 2, w] * upper[kd + q + 2, w]
                        + A[rr + q + 3, w] * upper[kd + q + 3, w]
                    )
                q += 4
            while q < r:
                for w in range(lanes):
                    upper[kd + r, w] += A[rr + q, w] * upper[kd + q, w]
                q += 1
            for w in range(lanes):
                upper[kd + r, w] *= -A[rr + r, w]
    for p in range(dim):
        pp = p * (p + 1) // 2
        pd = p * dim
        for q in range(p + 1):
            qd = q * dim
            for w in range(lanes):
                A[pp + q, w] = 0.0
            r = p
            while r + 3 < dim:
                for w in range(lanes):
                    A[pp + q, w] += (
                        upper[pd + r, w] * upper[qd + r, w]
                        + upper[pd + r + 1, w] * upper[qd + r + 1, w]
                    ) + (
                        upper[pd + r + 2, w] * upper[qd + r + 2, w]
                        + upper[pd + r + 3, w] * upper[qd + r + 3, w]
                    )
                r += 4
            while r < dim:
                for w in range(lanes):
                    A[pp + q, w] += upper[pd + r, w] * upper[qd + r, w]
                r += 1


@compile_function
def solve_lanes(A, right, mean, dim):
    """Solve with factors from `factorize_lanes`: ``mean = A^-1 right``, [dim, lane]."""
    lanes = A.shape[1]
    for j in range(dim):
        jj = j * (j + 1) // 2
        for w in range(lanes):
            mean[j, w] = right[j, w]
        for k in range(j):
            for w in range(lanes):
                mean[j, w] -= A[jj + k, w] * mean[k, w]
        for w in range(lanes):
            mean[j, w] *= A[jj + j, w]
    for j in range(dim - 1, -1, -1):
        for k in range(j + 1, dim):
            kj = k * (k + 1) // 2 + j
            for w in range(lanes):
                mean[j, w] -= A[kj, w] * mean[k, w]
        for w in range(lanes):
            mean[j, w] *= A[j * (j + 1) // 2 + j, w]
