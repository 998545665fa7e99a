"""Numbers in vector registers, for inner loops that keep their sums there.

Numba leaves it to LLVM to find vector instructions, and in loops as short as these (a tile of 32
numbers, 8 matrices side by side) it finds sums that go through memory. They are written in LLVM's
own vector types, which every processor has some instructions for.

All arrays are C-contiguous. Nothing is checked here: the callers know their sizes.
"""

from collections.abc import Callable

from llvmlite import ir
from numba.core import cgutils

__all__ = ["LANES", "LINE", "TOGETHER", "VectorArray", "index", "loop", "zero_sums"]

# Matrices side by side: as many as a cache line holds double-precision numbers.
LANES = 8
LINE = 64  # bytes
_INDEX = ir.IntType(64)
# Contraction alone is allowed of fast mathematics: a fused product rounds once less.
TOGETHER = ("contract",)


def index(number: int) -> ir.Constant:
    """A position known when it is compiled."""
    return ir.Constant(_INDEX, number)


class VectorArray:
    """An argument of a compiled function, read and written in vectors.

    Args:
        context: Numba's.
        builder: LLVM's.
        kind: Numba's type of the array.
        value: The array.
        width: Numbers in a vector.
    """

    def __init__(self, context, builder, kind, value, width):
        self.builder = builder
        self.data = context.make_array(kind)(context, builder, value).data
        self.element = context.get_data_type(kind.dtype)
        self.vector = ir.VectorType(self.element, width)

    def _place(self, position):
        place = self.builder.gep(self.data, [position])
        return self.builder.bitcast(place, self.vector.as_pointer())

    def load(self, position):
        """The vector that starts at a position."""
        return self.builder.load(self._place(position), align=self._alignment)

    def store(self, vector, position):
        """Write a vector where a position starts."""
        self.builder.store(vector, self._place(position), align=self._alignment)

    @property
    def _alignment(self):
        # Of an element, as NumPy promises no more; see `cache_lines` for what it costs.
        return 4 if isinstance(self.element, ir.FloatType) else 8


def zero_sums(builder, vector, count) -> list:
    """So many vectors of zeros to add to."""
    zero = ir.Constant(vector, [0.0] * vector.count)
    sums = [cgutils.alloca_once(builder, vector) for _ in range(count)]
    for each in sums:
        builder.store(zero, each)
    return sums


def loop(builder, start, stop, step: int, body: Callable) -> None:
    """``for position in range(start, stop, step): body(position)``."""
    with cgutils.for_range_slice(builder, start, stop, index(step)) as (position, _):
        body(position)
