"""Sums over the ratings of each row of a group, compiled.

The other side of the model is read as two arrays of tiles, ``[tile, row, TILE]``: its table (see
`row_kernel`) and its summary, whose last number of the last tile is ``E[a]``. Sums of more than
``_FLUSH`` ratings are carried over to double precision in between.

A group is gathered tile by tile, so that the part of the table in use stays in the second-level
cache, which then bounds the speed: of 100 ratings times 561 numbers, nothing but sums is stored.
"""

import numpy as np

from ppl_ext.factorization.model.cache_lines import zeros_on_lines
from ppl_ext.factorization.model.side_posterior import TILE
from ppl_ext.factorization.solver.batched_cholesky import compile_function
from ppl_ext.factorization.solver.vectors.tile_sums import add_rows, add_scaled_rows, fetch_rows

__all__ = ["GROUP", "gather_group", "tile_summary"]

# Rows gathered before they are solved: a tile is read from far memory once for so many rows.
GROUP = 768
_FLUSH = 512
# Two tiles of so many rows, in single precision, fit a second-level cache of two megabytes.
_NEAR = 7168


def tile_summary(summary: np.ndarray) -> np.ndarray:
    """``E[a] (E[w], 1)`` in tiles.

    Args:
        summary: ``[row, dim + 1]``.

    Returns:
        ``[tile, row, TILE]``, the 1 last, zeros before it.
    """
    rows, size = summary.shape
    tiles = zeros_on_lines((-(-size // TILE), rows, TILE), summary.dtype)
    for start in range(0, size - 1, TILE):
        piece = summary[:, start : min(start + TILE, size - 1)]
        tiles[start // TILE, :, : piece.shape[1]] = piece
    tiles[-1, :, -1] = summary[:, -1]
    return tiles


@compile_function
def gather_group(
    first, rows, indptr, columns, values, levels, center, table, summary, sums, weighted
):
    """Add up the other side over the ratings of the rows from ``first`` on.

    Args:
        first: First row.
        rows: Number of rows.
        indptr: ``[row + 1]``, where the ratings of each row start.
        columns: ``[rating]``, the other side's row of each rating.
        values: ``[rating]``, the ratings, or their positions in ``levels``.
        levels: The ratings that there are; empty where ``values`` holds them.
        center: What is taken from every rating.
        table: The other side's table.
        summary: The other side's summary, in tiles.
        sums: ``[tile, row, TILE]``, of the table and of its type, as what is written there comes
            back from far memory; written.
        weighted: ``[power, row, size]``, of the summary, the summary times the rating, and, right
            in its last column alone, times the square of the rating; written.
    """
    other_rows, size = table.shape[1], weighted.shape[2]
    flat, flat_summary = table.reshape(-1), summary.reshape(-1)
    out, weighted_out = sums.reshape(-1), weighted.reshape(-1)
    tiles, step = table.shape[0], other_rows * TILE
    stride = weighted.shape[1] * size
    scales, total = np.empty(_FLUSH, table.dtype), np.empty(3 * TILE)
    share = -(-other_rows // max(rows, 1))
    for tile in range(tiles):
        begin = tile * step
        # The next tile comes from far memory meanwhile, where there is room for both.
        fetched = tile + 1 < tiles and other_rows <= _NEAR
        for g in range(rows):
            start, stop = indptr[first + g], indptr[first + g + 1]
            place = (tile * sums.shape[1] + g) * TILE
            if fetched:
                ahead = min(g * share, other_rows)
                fetch_rows(flat, begin + step, ahead, min(ahead + share, other_rows))
            if stop - start <= _FLUSH:
                add_rows(flat, begin, columns, start, stop, out, place, False)
                continue
            for position in range(start, stop, _FLUSH):
                end = min(stop, position + _FLUSH)
                add_rows(flat, begin, columns, position, end, total, 0, position > start)
            for t in range(TILE):
                out[place + t] = total[t]
    for g in range(rows):
        start, stop = indptr[first + g], indptr[first + g + 1]
        for tile in range(summary.shape[0]):
            # Once for a row without ratings, whose sums are zeros.
            for position in range(start, max(stop, start + 1), _FLUSH):
                end = min(stop, position + _FLUSH)
                if len(levels):
                    for k in range(end - position):
                        scales[k] = levels[np.int64(values[position + k])] - center
                else:
                    for k in range(end - position):
                        scales[k] = np.float64(values[position + k]) - center
                add_scaled_rows(
                    flat_summary, tile * step, columns, position, end,
                    scales, total, 0, TILE, position > start,
                )  # fmt: skip
            for power in range(3):
                for t in range(TILE):
                    weighted_out[power * stride + g * size + tile * TILE + t] = total[
                        power * TILE + t
                    ]
