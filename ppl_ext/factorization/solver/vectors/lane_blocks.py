"""Blocks of a Cholesky factor and of its inverse, `LANES` matrices side by side.

A block is what four rows have to do with four columns: its products are held in registers, so that
each number that is read is multiplied four times. ``[row, LANES]`` arrays hold lower triangles row
by row (``factor``) or square matrices (``upper``).
"""

from collections.abc import Callable

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ppl_ext.factorization.solver.vectors.registers import (
    LANES,
    TOGETHER,
    VectorArray,
    index,
    loop,
    zero_sums,
)

__all__ = [
    "BLOCK",
    "factor_block",
    "factor_diagonal",
    "invert_block",
    "invert_diagonal",
    "make_step",
    "multiply_block",
    "multiply_diagonal",
    "solve_down",
    "solve_up",
]

# Rows and columns of a block: sixteen sums are what the registers hold.
BLOCK = 4


class _Matrix:
    """A matrix of vectors."""

    def __init__(self, context, builder, kind, value, size=None):
        self.builder, self.size = builder, size
        self.array = VectorArray(context, builder, kind, value, LANES)

    def _position(self, row, column):
        builder = self.builder
        if self.size is None:
            double = builder.mul(row, builder.add(row, index(1)))
            start = builder.lshr(double, index(1))
        else:
            start = builder.mul(row, self.size)
        return builder.mul(builder.add(start, column), index(LANES))

    def load(self, row, column):
        return self.array.load(self._position(row, column))

    def store(self, vector, row, column):
        self.array.store(vector, self._position(row, column))


class _Block:
    """Sums of products of some rows with others."""

    def __init__(self, builder, left, right, rows, columns):
        self.builder, self.left, self.right = builder, left, right
        self.rows, self.columns = rows, columns
        vector = left.array.vector
        self.sums = [zero_sums(builder, vector, len(columns)) for _ in rows]

    def add(self, start, stop) -> None:
        """Add ``left[row, k] * right[column, k]`` for all k."""

        def once(k):
            xs = [self.left.load(row, k) for row in self.rows]
            ys = [self.right.load(column, k) for column in self.columns]
            for x, line in zip(xs, self.sums, strict=True):
                for y, into in zip(ys, line, strict=True):
                    product = self.builder.fmul(x, y, flags=TOGETHER)
                    total = self.builder.fadd(product, self.builder.load(into), flags=TOGETHER)
                    self.builder.store(total, into)

        loop(self.builder, start, stop, 1, once)

    def total(self, row: int, column: int):
        return self.builder.load(self.sums[row][column])


def _less(builder, x, y, z):
    return builder.fsub(x, builder.fmul(y, z, flags=TOGETHER), flags=TOGETHER)


def _plus(builder, x, y, z):
    return builder.fadd(x, builder.fmul(y, z, flags=TOGETHER), flags=TOGETHER)


def _reciprocal_root(builder, vector):
    kind = vector.type
    name = f"llvm.sqrt.v{LANES}f64"
    root = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind]), name)
    return builder.fdiv(ir.Constant(kind, [1.0] * LANES), builder.call(root, [vector]))


def factor_block(builder, factor, upper, rows, columns, dim):
    """Rows of the factor, in columns left of their diagonal block."""
    block = _Block(builder, factor, factor, rows, columns)
    block.add(index(0), columns[0])
    corner = [[factor.load(c, k) for k in columns[: i + 1]] for i, c in enumerate(columns)]
    for i, row in enumerate(rows):
        found: list = []
        for c, column in enumerate(columns):
            value = builder.fsub(factor.load(row, column), block.total(i, c))
            for k, known in enumerate(found):
                value = _less(builder, value, known, corner[c][k])
            found.append(builder.fmul(value, corner[c][c]))
            factor.store(found[-1], row, column)


def factor_diagonal(builder, factor, upper, rows, columns, dim):
    """Rows of the factor in their diagonal block; diagonals hold their reciprocals."""
    block = _Block(builder, factor, factor, rows, rows)
    block.add(index(0), rows[0])
    found: list[list] = [[] for _ in rows]
    for c, column in enumerate(rows):
        for i in range(c, len(rows)):
            value = builder.fsub(factor.load(rows[i], column), block.total(i, c))
            for k in range(c):
                value = _less(builder, value, found[i][k], found[c][k])
            last = _reciprocal_root(builder, value) if i == c else None
            found[i].append(last if i == c else builder.fmul(value, found[c][c]))
            factor.store(found[i][c], rows[i], column)


def invert_block(builder, factor, upper, rows, columns, dim):
    """The inverse of the factor, transposed: columns of these rows, in ``upper``."""
    block = _Block(builder, factor, upper, rows, columns)
    block.add(columns[0], rows[0])
    for c, column in enumerate(columns):
        found: list = []
        for i, row in enumerate(rows):
            value = block.total(i, c)
            for k, known in enumerate(found):
                value = _plus(builder, value, factor.load(row, rows[k]), known)
            scale = builder.fneg(factor.load(row, row))
            found.append(builder.fmul(value, scale))
            upper.store(found[-1], column, row)


def invert_diagonal(builder, factor, upper, rows, columns, dim):
    """The same in the diagonal block, zeros below it."""
    zero = ir.Constant(factor.array.vector, [0.0] * LANES)
    for c, column in enumerate(rows):
        found: list = []
        for i, row in enumerate(rows):
            if i < c:
                value = zero
            elif i == c:
                value = factor.load(row, row)
            else:
                value = zero
                for k in range(c, i):
                    value = _plus(builder, value, factor.load(row, rows[k]), found[k])
                value = builder.fmul(value, builder.fneg(factor.load(row, row)))
            found.append(value)
            upper.store(value, column, row)


def multiply_block(builder, factor, upper, rows, columns, dim):
    """The inverse of the matrix, over the factor: products of rows of ``upper``."""
    block = _Block(builder, upper, upper, rows, columns)
    block.add(rows[0], dim)
    for i, row in enumerate(rows):
        for c, column in enumerate(columns):
            factor.store(block.total(i, c), row, column)


def multiply_diagonal(builder, factor, upper, rows, columns, dim):
    """The same in the diagonal block."""
    block = _Block(builder, upper, upper, rows, rows)
    block.add(rows[0], dim)
    for i, row in enumerate(rows):
        for c in range(i + 1):
            factor.store(block.total(i, c), row, rows[c])


def solve_down(builder, factor, vector, rows, columns, dim):
    """Forward substitution of these rows, in place."""
    block = _Block(builder, factor, vector, rows, [index(0)])
    block.add(index(0), rows[0])
    found: list = []
    for i, row in enumerate(rows):
        value = builder.fsub(vector.load(index(0), row), block.total(i, 0))
        for k, known in enumerate(found):
            value = _less(builder, value, factor.load(row, rows[k]), known)
        found.append(builder.fmul(value, factor.load(row, row)))
        vector.store(found[-1], index(0), row)


def solve_up(builder, factor, vector, rows, columns, dim):
    """Backward substitution of these rows, in place, taken from all rows above."""
    found: dict = {}
    for i in reversed(range(len(rows))):
        value = vector.load(index(0), rows[i])
        for k, known in found.items():
            value = _less(builder, value, factor.load(rows[k], rows[i]), known)
        found[i] = builder.fmul(value, factor.load(rows[i], rows[i]))
        vector.store(found[i], index(0), rows[i])

    def take(k):
        value = vector.load(index(0), k)
        for i, row in enumerate(rows):
            value = _less(builder, value, factor.load(row, k), found[i])
        vector.store(value, index(0), k)

    loop(builder, index(0), rows[0], 1, take)


def make_step(write: Callable, rows: int, columns: int = BLOCK) -> Callable:
    """Compile a step: ``(factor, other, row, column, dim)``, arrays, positions and size.

    Args:
        write: One of the functions above.
        rows: Rows it is about, from ``row`` on.
        columns: Columns, from ``column`` on.

    Returns:
        An intrinsic of numba.
    """

    @intrinsic
    def step(typing, factor, other, row, column, dim):
        def generate(context, builder, signature, values):
            kinds = signature.args
            triangle = _Matrix(context, builder, kinds[0], values[0])
            square = _Matrix(context, builder, kinds[1], values[1], values[4])
            below = [builder.add(values[2], index(offset)) for offset in range(rows)]
            across = [builder.add(values[3], index(offset)) for offset in range(columns)]
            write(builder, triangle, square, below, across, values[4])
            return context.get_dummy_value()

        return types.void(factor, other, row, column, dim), generate

    return step
