"""Two inner loops that keep their sums in vector registers.

Numba leaves it to LLVM to find vector instructions, and in loops as short as these (a tile of 64
numbers, 16 matrices side by side) it finds sums that go through memory: the products of a Cholesky
factorization run at half, the gathering of tiles at two fifths of what these two reach. They are
written in LLVM's own vector types, which every processor has some instructions for.

All arrays are C-contiguous. Nothing is checked here: the callers know their sizes.
"""

from collections.abc import Callable

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["LANES", "add_rows", "multiply_lanes"]

# Matrices side by side; a cache line holds eight double-precision numbers.
LANES = 16
# Rows that are on their way from far memory while one is added up.
_AHEAD = 16
_LINE = 64  # bytes
_INDEX = ir.IntType(64)
_TOGETHER = ("contract",)  # a fused product rounds once less


def _index(number: int) -> ir.Constant:
    return ir.Constant(_INDEX, number)


class _Array:
    """An argument of a compiled function, read and written in vectors."""

    def __init__(self, context, builder, kind, value, width):
        self.builder = builder
        self.struct = context.make_array(kind)(context, builder, value)
        self.element = context.get_data_type(kind.dtype)
        self.vector = ir.VectorType(self.element, width)

    def address(self, position):
        return self.builder.gep(self.struct.data, [position])

    def load(self, position):
        place = self.builder.bitcast(self.address(position), self.vector.as_pointer())
        return self.builder.load(place, align=self._alignment)

    def store(self, vector, position):
        place = self.builder.bitcast(self.address(position), self.vector.as_pointer())
        self.builder.store(vector, place, align=self._alignment)

    @property
    def _alignment(self):
        # Of an element: NumPy promises no more, and on current processors more gains nothing.
        return 4 if isinstance(self.element, ir.FloatType) else 8


def _registers(builder, vector, count) -> list:
    zero = ir.Constant(vector, [0.0] * vector.count)
    sums = [cgutils.alloca_once(builder, vector) for _ in range(count)]
    for each in sums:
        builder.store(zero, each)
    return sums


def _loop(builder, start, stop, step: int, body: Callable) -> None:
    with cgutils.for_range_slice(builder, start, stop, _index(step)) as (position, _):
        body(position)


@intrinsic
def multiply_lanes(typing, a, first_a, b, first_b, count, out, slot):
    """``out[slot] = sum(a[first_a + k] * b[first_b + k] for k in range(count))``, lane by lane.

    Args:
        typing: Given by numba.
        a: ``[row, LANES]``.
        first_a: First row of a.
        b: ``[row, LANES]``.
        first_b: First row of b.
        count: Number of rows.
        out: ``[slot, LANES]``; written.
        slot: Row of out.
    """

    def generate(context, builder, signature, values):
        kinds = signature.args
        left, right, result = (
            _Array(context, builder, kinds[place], values[place], LANES) for place in (0, 2, 5)
        )
        # Two sums, since a product waits for the sum it is added to.
        sums = _registers(builder, left.vector, 2)

        def add(k, into):
            x = left.load(builder.mul(builder.add(values[1], k), _index(LANES)))
            y = right.load(builder.mul(builder.add(values[3], k), _index(LANES)))
            product = builder.fmul(x, y, flags=_TOGETHER)
            builder.store(builder.fadd(product, builder.load(into), flags=_TOGETHER), into)

        def add_pair(k):
            add(k, sums[0])
            add(builder.add(k, _index(1)), sums[1])

        even = builder.and_(values[4], _index(-2))
        _loop(builder, _index(0), even, 2, add_pair)
        _loop(builder, even, values[4], 1, lambda k: add(k, sums[0]))
        total = builder.fadd(*map(builder.load, sums))
        result.store(total, builder.mul(values[6], _index(LANES)))
        return context.get_dummy_value()

    return types.void(a, first_a, b, first_b, count, out, slot), generate


@intrinsic
def add_rows(typing, table, begin, columns, start, stop, out):
    """``out = sum(table[begin + columns[k] * len(out)] ... for k in range(start, stop))``.

    Args:
        typing: Given by numba.
        table: ``[number]``, rows of 64 numbers behind one another.
        begin: Where row 0 starts.
        columns: ``[rating]``, rows to add.
        start: First rating.
        stop: One past the last.
        out: ``[64]``; written.
    """

    def generate(context, builder, signature, values):
        width = _LINE // (signature.args[0].dtype.bitwidth // 8)
        lines = 64 // width
        kinds = signature.args
        source, result = (
            _Array(context, builder, kinds[place], values[place], width) for place in (0, 5)
        )
        listed = context.make_array(kinds[2])(context, builder, values[2])
        last = builder.sub(builder.extract_value(values[2], 2), _index(1))
        sums = _registers(builder, source.vector, lines)
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        fetch = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [byte, number, number, number]),
            "llvm.prefetch.p0i8",
        )

        def find(rating):
            column = builder.load(builder.gep(listed.data, [rating]))
            if column.type != _INDEX:
                column = builder.sext(column, _INDEX)
            return builder.add(values[1], builder.mul(column, _index(64)))

        def add(rating):
            ahead = builder.add(rating, _index(_AHEAD))
            ahead = builder.select(builder.icmp_signed("<", ahead, last), ahead, last)
            far, near = find(ahead), find(rating)
            for line in range(lines):
                offset = _index(line * width)
                place = builder.bitcast(source.address(builder.add(far, offset)), byte)
                # To be read, soon again, as data: the three flags of LLVM's prefetch.
                builder.call(fetch, [place, number(0), number(3), number(1)])
                row = source.load(builder.add(near, offset))
                builder.store(builder.fadd(row, builder.load(sums[line])), sums[line])

        _loop(builder, values[3], values[4], 1, add)
        for line, each in enumerate(sums):
            result.store(builder.load(each), _index(line * width))
        return context.get_dummy_value()

    return types.void(table, begin, columns, start, stop, out), generate
