"""Small symmetric systems solved side by side, compiled.

Arrays are ``[packed, lane]``: the lower triangle of a matrix row by row, and as many matrices as
there are lanes, so that the vector units are full whatever the size of the matrices. Rows are
taken in blocks, those that fill none one by one.
"""

from numba import njit

from ppl_ext.factorization.solver.vectors import lane_blocks
from ppl_ext.factorization.solver.vectors.lane_blocks import BLOCK, make_step

__all__ = ["compile_function", "factorize_lanes", "invert_lanes", "solve_lanes"]

# Contraction alone is allowed of fast mathematics: a fused product rounds once less.
compile_function = njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})

_factor_block = make_step(lane_blocks.factor_block, BLOCK)
_factor_row = make_step(lane_blocks.factor_block, 1)
_factor_number = make_step(lane_blocks.factor_block, 1, 1)
_factor_diagonal = make_step(lane_blocks.factor_diagonal, BLOCK)
_factor_last = make_step(lane_blocks.factor_diagonal, 1)
_invert_block = make_step(lane_blocks.invert_block, BLOCK)
_invert_row = make_step(lane_blocks.invert_block, 1)
_invert_number = make_step(lane_blocks.invert_block, 1, 1)
_invert_diagonal = make_step(lane_blocks.invert_diagonal, BLOCK)
_invert_last = make_step(lane_blocks.invert_diagonal, 1)
_multiply_block = make_step(lane_blocks.multiply_block, BLOCK)
_multiply_row = make_step(lane_blocks.multiply_block, 1)
_multiply_number = make_step(lane_blocks.multiply_block, 1, 1)
_multiply_diagonal = make_step(lane_blocks.multiply_diagonal, BLOCK)
_multiply_last = make_step(lane_blocks.multiply_diagonal, 1)
_solve_down = make_step(lane_blocks.solve_down, BLOCK)
_solve_down_last = make_step(lane_blocks.solve_down, 1)
_solve_up = make_step(lane_blocks.solve_up, BLOCK)
_solve_up_last = make_step(lane_blocks.solve_up, 1)


@compile_function
def factorize_lanes(A, dim):
    """Cholesky factors in place, [packed, lane]; diagonals hold their reciprocals."""
    whole = dim - dim % BLOCK
    for row in range(0, whole, BLOCK):
        for column in range(0, row, BLOCK):
            _factor_block(A, A, row, column, dim)
        _factor_diagonal(A, A, row, row, dim)
    for row in range(whole, dim):
        for column in range(0, whole, BLOCK):
            _factor_row(A, A, row, column, dim)
        for column in range(whole, row):
            _factor_number(A, A, row, column, dim)
        _factor_last(A, A, row, row, dim)


@compile_function
def invert_lanes(A, upper, dim):
    """Overwrite factors from `factorize_lanes` with the inverse matrices."""
    whole = dim - dim % BLOCK
    # The inverse of the factor, transposed, so that both products run along rows.
    for row in range(0, whole, BLOCK):
        for column in range(0, row, BLOCK):
            _invert_block(A, upper, row, column, dim)
        _invert_diagonal(A, upper, row, row, dim)
    for row in range(whole, dim):
        for column in range(0, whole, BLOCK):
            _invert_row(A, upper, row, column, dim)
        for column in range(whole, row):
            _invert_number(A, upper, row, column, dim)
        _invert_last(A, upper, row, row, dim)
    for row in range(0, whole, BLOCK):
        for column in range(0, row, BLOCK):
            _multiply_block(A, upper, row, column, dim)
        _multiply_diagonal(A, upper, row, row, dim)
    for row in range(whole, dim):
        for column in range(0, whole, BLOCK):
            _multiply_row(A, upper, row, column, dim)
        for column in range(whole, row):
            _multiply_number(A, upper, row, column, dim)
        _multiply_last(A, upper, row, row, dim)


@compile_function
def solve_lanes(A, mean, dim):
    """Solve with factors from `factorize_lanes`, in place: ``mean = A^-1 mean``, [dim, lane]."""
    whole = dim - dim % BLOCK
    for row in range(0, whole, BLOCK):
        _solve_down(A, mean, row, 0, dim)
    for row in range(whole, dim):
        _solve_down_last(A, mean, row, 0, dim)
    for row in range(dim - 1, whole - 1, -1):
        _solve_up_last(A, mean, row, 0, dim)
    for row in range(whole - BLOCK, -1, -BLOCK):
        _solve_up(A, mean, row, 0, dim)
