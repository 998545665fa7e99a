"""Sums over the rows of a tile, in vector registers."""

from collections.abc import Callable

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ppl_ext.factorization.model.side_posterior import TILE
from ppl_ext.factorization.solver.vectors.registers import (
    LANES,
    LINE,
    TOGETHER,
    VectorArray,
    index,
    loop,
    zero_sums,
)

__all__ = ["add_rows", "add_scaled_rows", "fetch_rows"]

# Ratings added up side by side, since a sum waits for the one before it.
_ABREAST = 2


class _Ratings:
    """Rows of a tile, found by the ratings of a row of the other side."""

    def __init__(self, context, builder, kinds, values):
        self.builder = builder
        width = LINE // (kinds[0].dtype.bitwidth // 8)
        self.table = VectorArray(context, builder, kinds[0], values[0], width)
        self.begin, self.lines, self.width = values[1], TILE // width, width
        self.columns = context.make_array(kinds[2])(context, builder, values[2]).data
        self.signed = kinds[2].dtype.signed
        self.start, self.stop = values[3], values[4]

    def rows(self, rating) -> list:
        """The vectors of one rating."""
        column = self.builder.load(self.builder.gep(self.columns, [rating]))
        if column.type != index(0).type:
            widen = self.builder.sext if self.signed else self.builder.zext
            column = widen(column, index(0).type)
        first = self.builder.add(self.begin, self.builder.mul(column, index(TILE)))
        return [
            self.table.load(self.builder.add(first, index(offset)))
            for offset in range(0, TILE, self.width)
        ]

    def each(self, body: Callable) -> None:
        """Call ``body(rating, place)``, with as many places as there are ratings abreast."""
        builder = self.builder

        def together(rating):
            for place in range(_ABREAST):
                body(builder.add(rating, index(place)), place)

        count = builder.sub(self.stop, self.start)
        cut = builder.add(self.start, builder.and_(count, index(-_ABREAST)))
        loop(builder, self.start, cut, _ABREAST, together)
        loop(builder, cut, self.stop, 1, lambda rating: body(rating, 0))

    def sums(self) -> list:
        """Registers to add to, by place and line."""
        return [zero_sums(self.builder, self.table.vector, self.lines) for _ in range(_ABREAST)]

    def finish(self, context, sums, kind, out, begin, more) -> None:
        """Write the sums of all places, adding where there are ``more``.

        Half a line of single precision at a time, as what it may be widened to fills a line.
        """
        builder, half = self.builder, min(self.width, LANES)
        target = VectorArray(context, builder, kind, out, half)
        zero = ir.Constant(target.vector, [0.0] * half)
        for line in range(self.lines):
            parts = [builder.load(each[line]) for each in sums]
            total = parts[0]
            for part in parts[1:]:
                total = builder.fadd(total, part)
            for start in range(0, self.width, half):
                chosen = [ir.Constant(ir.IntType(32), start + lane) for lane in range(half)]
                mask = ir.Constant(ir.VectorType(ir.IntType(32), half), chosen)
                piece = builder.shuffle_vector(total, total, mask)
                if piece.type != target.vector:
                    piece = builder.fpext(piece, target.vector)
                place = builder.add(begin, index(line * self.width + start))
                before = builder.select(more, target.load(place), zero)
                target.store(builder.fadd(before, piece), place)


@intrinsic
def add_rows(typing, table, begin, columns, start, stop, out, place, more):
    """``out[place:] = sum(table[begin + columns[k] * TILE:] for k in range(start, stop))``.

    Args:
        typing: Given by numba.
        table: ``[number]``, rows of `TILE` numbers behind one another.
        begin: Where row 0 starts.
        columns: ``[rating]``, rows to add.
        start: First rating.
        stop: One past the last.
        out: ``[number]``, of single precision only if the table is; `TILE` numbers are written.
        place: Where these are.
        more: True to add to what is there.
    """

    def generate(context, builder, signature, values):
        kinds = signature.args
        ratings = _Ratings(context, builder, kinds, values)
        sums = ratings.sums()

        def add(rating, place):
            for row, into in zip(ratings.rows(rating), sums[place], strict=True):
                builder.store(builder.fadd(row, builder.load(into)), into)

        ratings.each(add)
        ratings.finish(context, sums, kinds[5], values[5], values[6], values[7])
        return context.get_dummy_value()

    return types.void(table, begin, columns, start, stop, out, place, more), generate


@intrinsic
def add_scaled_rows(typing, table, begin, columns, start, stop, scales, out, place, stride, more):
    """Sums as of `add_rows`, of rows, of rows times a number, and of rows times its square.

    The last of the three is right where the tile's last line of the cache is, and zero before.

    Args:
        typing: Given by numba.
        table: ``[number]``, rows of `TILE` numbers behind one another.
        begin: Where row 0 starts.
        columns: ``[rating]``, rows to add.
        start: First rating.
        stop: One past the last.
        scales: ``[number]``, of the table's type, one for each of these ratings.
        out: As of `add_rows`; three times `TILE` numbers are written.
        place: Where the first of these are.
        stride: How far on the others are.
        more: True to add to what is there.
    """

    def generate(context, builder, signature, values):
        kinds = signature.args
        ratings = _Ratings(context, builder, kinds, values)
        source = context.make_array(kinds[5])(context, builder, values[5]).data
        every = [ratings.sums() for _ in range(3)]
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), ratings.width), [0] * ratings.width)

        def add(rating, place):
            number = builder.load(builder.gep(source, [builder.sub(rating, values[3])]))
            blank = ir.Constant(ratings.table.vector, ir.Undefined)
            single = builder.insert_element(blank, number, ir.Constant(ir.IntType(32), 0))
            spread = builder.shuffle_vector(single, blank, lanes)
            for line, row in enumerate(ratings.rows(rating)):
                for power, sums in enumerate(every):
                    if power == 2 and line < ratings.lines - 1:
                        break
                    into = sums[place][line]
                    if power:
                        row = builder.fmul(row, spread, flags=TOGETHER)
                    flags = TOGETHER if power else ()
                    builder.store(builder.fadd(row, builder.load(into), flags=flags), into)

        ratings.each(add)
        at = values[7]
        for sums in every:
            ratings.finish(context, sums, kinds[6], values[6], at, values[9])
            at = builder.add(at, values[8])
        return context.get_dummy_value()

    signature = types.void(table, begin, columns, start, stop, scales, out, place, stride, more)
    return signature, generate


@intrinsic
def fetch_rows(typing, table, begin, first, stop):
    """Ask for rows ``first`` to ``stop`` of a tile, so that they wait in the second-level cache.

    Args:
        typing: Given by numba.
        table: ``[number]``, rows of `TILE` numbers behind one another.
        begin: Where row 0 starts.
        first: The first row.
        stop: One past the last.
    """

    def generate(context, builder, signature, values):
        kind = signature.args[0]
        width = LINE // (kind.dtype.bitwidth // 8)
        data = context.make_array(kind)(context, builder, values[0]).data
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        fetch = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [byte, number, number, number]),
            "llvm.prefetch.p0i8",
        )

        def ask(row):
            start = builder.add(values[1], builder.mul(row, index(TILE)))
            for offset in range(0, TILE, width):
                place = builder.gep(data, [builder.add(start, index(offset))])
                # To be read, not at once, as data: the three flags of LLVM's prefetch.
                flags = number(0), number(2), number(1)
                builder.call(fetch, [builder.bitcast(place, byte), *flags])

        loop(builder, values[2], values[3], 1, ask)
        return context.get_dummy_value()

    return types.void(table, begin, first, stop), generate
