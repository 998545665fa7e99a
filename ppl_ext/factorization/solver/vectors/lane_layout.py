"""Between rows of numbers and matrices side by side, and what is done to all their numbers.

``[row, LANES]`` arrays hold as many rows as fill whole tiles. Lanes may share a row.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ppl_ext.factorization.model.side_posterior import TILE
from ppl_ext.factorization.solver.vectors.registers import (
    LANES,
    TOGETHER,
    VectorArray,
    index,
    loop,
    zero_sums,
)

__all__ = ["add_moments", "collect_lanes", "scale_lanes", "spread_rows"]

_NUMBER = ir.IntType(32)


def _mask(lanes: list[int]) -> ir.Constant:
    vector = ir.VectorType(_NUMBER, len(lanes))
    return ir.Constant(vector, [ir.Constant(_NUMBER, lane) for lane in lanes])


def _transpose(builder, vectors: list) -> list:
    """Rows of a square of numbers from its columns."""
    vectors = list(vectors)
    step = 1
    while step < LANES:
        low = [j if not j & step else LANES + j - step for j in range(LANES)]
        high = [j + step if not j & step else LANES + j for j in range(LANES)]
        for i in range(LANES):
            if not i & step:
                pair = vectors[i], vectors[i + step]
                vectors[i] = builder.shuffle_vector(*pair, _mask(low))
                vectors[i + step] = builder.shuffle_vector(*pair, _mask(high))
        step *= 2
    return vectors


def _broadcast(builder, number):
    vector = ir.VectorType(number.type, LANES)
    blank = ir.Constant(vector, ir.Undefined)
    single = builder.insert_element(blank, number, ir.Constant(_NUMBER, 0))
    return builder.shuffle_vector(single, blank, _mask([0] * LANES))


class _Tiles:
    """The rows of a ``[tile, row, TILE]`` array that the lanes stand for."""

    def __init__(self, context, builder, kinds, values):
        self.builder = builder
        self.array = VectorArray(context, builder, kinds[0], values[0], LANES)
        self.stride = builder.mul(values[1], index(TILE))
        listed = context.make_array(kinds[2])(context, builder, values[2]).data
        rows = [builder.load(builder.gep(listed, [index(lane)])) for lane in range(LANES)]
        self.starts = [builder.mul(row, index(TILE)) for row in rows]

    def places(self, position) -> list:
        """Where the lanes are at a position of their triangles."""
        builder = self.builder
        tile = builder.sdiv(position, index(TILE))
        offset = builder.add(builder.mul(tile, self.stride), builder.srem(position, index(TILE)))
        return [builder.add(start, offset) for start in self.starts]


@intrinsic
def spread_rows(typing, tiles, count, rows, out, size):
    """``out[p, lane] = tiles[p // TILE, rows[lane], p % TILE]`` for p below size.

    Args:
        typing: Given by numba.
        tiles: ``[tile, row, TILE]``.
        count: Its number of rows.
        rows: ``[lane]``, int64.
        out: ``[number, lane]``; written.
        size: How many, a multiple of `TILE`.
    """

    def generate(context, builder, signature, values):
        kinds = signature.args
        source = _Tiles(context, builder, kinds, values)
        target = VectorArray(context, builder, kinds[3], values[3], LANES)

        def move(position):
            found = list(map(source.array.load, source.places(position)))
            if source.array.vector != target.vector:
                found = [builder.fpext(vector, target.vector) for vector in found]
            for lane, vector in enumerate(_transpose(builder, found)):
                row = builder.add(position, index(lane))
                target.store(vector, builder.mul(row, index(LANES)))

        loop(builder, index(0), values[4], LANES, move)
        return context.get_dummy_value()

    return types.void(tiles, count, rows, out, size), generate


@intrinsic
def collect_lanes(typing, tiles, count, rows, numbers, scale, size):
    """``tiles[p // TILE, rows[lane], p % TILE] = scale[lane] * numbers[p, lane]``.

    Args:
        typing: Given by numba.
        tiles: ``[tile, row, TILE]``; written.
        count: Its number of rows.
        rows: ``[lane]``, int64.
        numbers: ``[number, lane]``, float64.
        scale: ``[lane]``, float64.
        size: How many, a multiple of `TILE`.
    """

    def generate(context, builder, signature, values):
        kinds = signature.args
        target = _Tiles(context, builder, kinds, values)
        source, scales = (
            VectorArray(context, builder, kinds[place], values[place], LANES) for place in (3, 4)
        )
        scale = scales.load(index(0))

        def move(position):
            found = []
            for lane in range(LANES):
                row = builder.add(position, index(lane))
                found.append(builder.fmul(source.load(builder.mul(row, index(LANES))), scale))
            places = target.places(position)
            for vector, place in zip(_transpose(builder, found), places, strict=True):
                if vector.type != target.array.vector:
                    vector = builder.fptrunc(vector, target.array.vector)
                target.array.store(vector, place)

        loop(builder, index(0), values[5], LANES, move)
        return context.get_dummy_value()

    return types.void(tiles, count, rows, numbers, scale, size), generate


@intrinsic
def scale_lanes(typing, numbers, scale, added, out, size):
    """``out[p, lane] = scale[lane] * numbers[p, lane] + added[p]`` for p below size.

    Args:
        typing: Given by numba.
        numbers: ``[number, lane]``.
        scale: ``[lane]``.
        added: ``[number]``.
        out: ``[number, lane]``; written.
        size: How many.
    """

    def generate(context, builder, signature, values):
        kinds = signature.args
        source, scales, target = (
            VectorArray(context, builder, kinds[place], values[place], LANES)
            for place in (0, 1, 3)
        )
        listed = context.make_array(kinds[2])(context, builder, values[2]).data
        scale = scales.load(index(0))

        def move(position):
            start = builder.mul(position, index(LANES))
            more = _broadcast(builder, builder.load(builder.gep(listed, [position])))
            product = builder.fmul(scale, source.load(start), flags=TOGETHER)
            target.store(builder.fadd(product, more, flags=TOGETHER), start)

        loop(builder, index(0), values[4], 1, move)
        return context.get_dummy_value()

    return types.void(numbers, scale, added, out, size), generate


@intrinsic
def add_moments(typing, covariance, mean, design, live, moments, error, dim):
    """Make covariances second moments, and add up what these are multiplied with.

    Args:
        typing: Given by numba.
        covariance: ``[packed, lane]``; made ``covariance + mean mean'``.
        mean: ``[dim, lane]``.
        design: ``[packed, lane]``.
        live: ``[lane]``, 1 or, where a lane is idle, 0.
        moments: ``[packed, lane]``; the second moments of live lanes are added.
        error: ``[lane]``; the traces of second moments times designs are added.
        dim: Size of the matrices.
    """

    def generate(context, builder, signature, values):
        kinds = signature.args
        second, means, designs, lives, sums, errors = (
            VectorArray(context, builder, kinds[place], values[place], LANES) for place in range(6)
        )
        kind = second.vector
        live = lives.load(index(0))
        (error,) = zero_sums(builder, kind, 1)
        builder.store(errors.load(index(0)), error)

        def visit(position, x, y, times):
            start = builder.mul(position, index(LANES))
            product = builder.fmul(x, y, flags=TOGETHER)
            moment = builder.fadd(second.load(start), product, flags=TOGETHER)
            second.store(moment, start)
            kept = builder.fmul(moment, live, flags=TOGETHER)
            sums.store(builder.fadd(sums.load(start), kept, flags=TOGETHER), start)
            weighted = builder.fmul(designs.load(start), ir.Constant(kind, [times] * LANES))
            product = builder.fmul(moment, weighted, flags=TOGETHER)
            builder.store(builder.fadd(builder.load(error), product, flags=TOGETHER), error)

        def line(row):
            first = builder.lshr(builder.mul(row, builder.add(row, index(1))), index(1))
            x = means.load(builder.mul(row, index(LANES)))

            def cell(column):
                y = means.load(builder.mul(column, index(LANES)))
                visit(builder.add(first, column), x, y, 2.0)

            loop(builder, index(0), row, 1, cell)
            visit(builder.add(first, row), x, x, 1.0)

        loop(builder, index(0), values[6], 1, line)
        errors.store(builder.load(error), index(0))
        return context.get_dummy_value()

    return types.void(covariance, mean, design, live, moments, error, dim), generate
