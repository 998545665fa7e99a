"""The update of every row of a side, all else fixed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ppl_ext.factorization.model.cache_lines import zeros_on_lines
from ppl_ext.factorization.model.side_posterior import TILE, Side, pack, unpack
from ppl_ext.factorization.solver.adjacency import Adjacency
from ppl_ext.factorization.solver.gather_kernel import GROUP, gather_group, tile_summary
from ppl_ext.factorization.solver.row_kernel import update_group
from ppl_ext.factorization.solver.vectors.registers import LANES

__all__ = ["Moments", "update_side"]

# Rows are shared out in so many pieces whatever the number of threads, so that sums are rounded
# in the same way and every machine gives the same answer.
_BLOCKS = 64


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums over the rows of a side after its update.

    Args:
        first: ``[dim]``, of ``E[w]``.
        second: ``[dim, dim]``, of ``E[w w']``.
        log_det: Of the log determinants of the precisions.
        error: Of the expected squared errors, weighted by row and column.
    """

    first: np.ndarray
    second: np.ndarray
    log_det: float
    error: float


@dataclass(frozen=True, eq=False)
class _Memory:
    """What the update of a block works in; the names are those of the kernels."""

    sums: np.ndarray
    weighted: np.ndarray
    moments: np.ndarray
    work: tuple[np.ndarray, ...]

    @classmethod
    def reserve(cls, side: Side, summary_tiles: int, diagonal: bool) -> _Memory:
        dim, tiles, dtype = side.dim, len(side.table), side.table.dtype
        packed, size = dim * (dim + 1) // 2, summary_tiles * TILE
        padded, square = tiles * TILE, 1 if diagonal else dim * dim
        return cls(
            zeros_on_lines((tiles, GROUP, TILE), dtype),
            zeros_on_lines((3, GROUP, size), dtype),
            zeros_on_lines((packed, LANES), float),
            tuple(zeros_on_lines((n, LANES), float) for n in (padded, padded, square, dim, dim)),
        )


def update_side(
    side: Side,
    other: Side,
    adjacency: Adjacency,
    *,
    center: float,
    noise_precision: float,
    bias: bool,
    diagonal: bool,
    run: Callable[..., object] = map,
) -> tuple[Side, Moments]:
    """Update every row of a side, in place, and its weights.

    Args:
        side: The side; its arrays are written.
        other: The other side.
        adjacency: The side's ratings.
        center: The constant of the model.
        noise_precision: Of a rating whose weights are one.
        bias: True where the model has biases.
        diagonal: True for diagonal covariances.
        run: ``map``, or the like of a pool of threads.

    Returns:
        The side with its new weights, and sums over it.
    """
    dim = side.dim
    precision = pack(side.prior.precision)
    pull = side.prior_means() @ side.prior.precision
    work = np.cumsum(adjacency.counts * len(precision) + dim**3)
    count = min(_BLOCKS, -(-len(side) // GROUP))
    cuts = np.searchsorted(work, np.linspace(0, work[-1], count + 1)[1:-1])
    cuts = np.unique(np.concatenate([[0], cuts, [len(side)]]))
    second = np.zeros((len(cuts) - 1, len(precision)))
    first = np.zeros((len(cuts) - 1, dim))
    errors = np.empty(len(side))
    summary = tile_summary(other.summary)
    # Blocks that run at the same time have memory of their own; the others take it over.
    spare: deque[_Memory] = deque()

    def update(block: int) -> tuple[float, float]:
        try:
            memory = spare.pop()
        except IndexError:
            memory = _Memory.reserve(side, len(summary), diagonal)
        memory.moments[:] = 0.0
        total = np.zeros(2)
        for begin in range(cuts[block], cuts[block + 1], GROUP):
            rows = min(GROUP, cuts[block + 1] - begin)
            gather_group(
                begin, rows, adjacency.indptr, adjacency.columns, adjacency.values,
                adjacency.levels, center, other.table, summary, memory.sums, memory.weighted,
            )  # fmt: skip
            total += update_group(
                begin, rows, adjacency.indptr, memory.sums, memory.weighted,
                side.table, side.summary, errors, precision, pull,
                noise_precision, side.concentration, bias, diagonal,
                memory.moments, first[block], *memory.work,
            )  # fmt: skip
        second[block] = memory.moments.sum(axis=1)
        spare.append(memory)
        return float(total[0]), float(total[1])

    totals = np.array(list(run(update, range(len(cuts) - 1))))  # type: ignore[call-overload]
    moments = Moments(
        first.sum(axis=0), unpack(second.sum(axis=0), dim), *map(float, totals.sum(axis=0))
    )
    if side.concentration:
        side = replace(
            side,
            shape=side.concentration + adjacency.counts / 2,
            rate=side.concentration + noise_precision * errors / 2,
        )
    return side, moments
