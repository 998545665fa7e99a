"""Ratings in arrays of a few fixed shapes, as compiled programs want them.

The rows of a side are dealt out to blocks of equal size, busy and idle ones alike to each, so that
all blocks take the same time. The ratings of a row are cut into segments of ``width``, the last
one filled up with ratings of a row of zeros, which add nothing; segments are kept in chunks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = [
    "Deal",
    "Segments",
    "Sizes",
    "count_chunks",
    "cut_segments",
    "deal_rows",
    "fit_sizes",
]

# Numbers in the matrices of a block of rows, and in the sums of a chunk of segments.
_BLOCK, _CHUNK = 2**22, 2**20


@dataclass(frozen=True)
class Sizes:
    """Shapes of the blocks of a side.

    Args:
        blocks: Number of blocks on each device.
        rows: Rows of a block; the last row of the last block is always empty.
        width: Ratings of a segment.
        chunk: Segments of a chunk.
    """

    blocks: int
    rows: int
    width: int
    chunk: int


@dataclass(frozen=True, eq=False)
class Deal:
    """Where each row of a side stands.

    Args:
        sizes: Shapes of the blocks.
        devices: Number of devices that the rows are dealt out to.
        slots: ``[row]``, places counted through devices, blocks and rows.
    """

    sizes: Sizes
    devices: int
    slots: np.ndarray

    @property
    def places(self) -> int:
        """Number of places on one device."""
        return self.sizes.blocks * self.sizes.rows

    def spread(self, values: np.ndarray, fill: float) -> np.ndarray:
        """Put values of rows to their places.

        Args:
            values: ``[row, ...]``.
            fill: Value of empty places.

        Returns:
            ``[device, place, ...]``.
        """
        shape = (self.devices * self.places, *values.shape[1:])
        placed = np.full(shape, fill, values.dtype)
        placed[self.slots] = values
        return placed.reshape(self.devices, self.places, *values.shape[1:])

    def collect(self, placed: np.ndarray) -> np.ndarray:
        """Undo `spread`."""
        return placed.reshape(self.devices * self.places, *placed.shape[2:])[self.slots]


@dataclass(frozen=True, eq=False)
class Segments:
    """The ratings of a side's rows, device by device and block by block.

    Args:
        columns: ``[device, block, chunk, segment, width]``, places on the other side; int32.
        values: Of the same shape, the ratings; float32.
        owners: ``[device, block, chunk, segment]``, the row of the block; ascending; int32.
        chunks: ``[device, block]``, number of chunks that hold anything; int32.
    """

    columns: np.ndarray
    values: np.ndarray
    owners: np.ndarray
    chunks: np.ndarray


def fit_sizes(rows: int, ratings: int, dim: int, multiple: int = 1) -> Sizes:
    """Choose the shapes of a side.

    Args:
        rows: Most rows on any device.
        ratings: Number of ratings of these rows on a device, roughly.
        dim: Length of the latent vectors.
        multiple: What the number of rows of a block has to be a multiple of.

    Returns:
        The shapes.
    """
    most = max(1, min(4096, _BLOCK // dim**2))
    # One more than there are: the last place stays empty.
    blocks = -(-(rows + 1) // most)
    per_block = -(-(rows + 1) // blocks)
    mean = ratings / max(1, rows)
    width = 16 if mean >= 48 else 8 if mean >= 12 else 4
    chunk = min(4096, max(64, _CHUNK // dim**2), max(64, -(-ratings // width)))
    return Sizes(blocks, -(-per_block // multiple) * multiple, width, chunk)


def deal_rows(counts: np.ndarray, sizes: Sizes, devices: int) -> Deal:
    """Deal rows out to the blocks of some devices, the busiest first.

    Args:
        counts: ``[row]``, number of ratings.
        sizes: Shapes of the blocks.
        devices: Number of devices.

    Returns:
        Where each row stands.
    """
    blocks = sizes.blocks * devices
    order = np.argsort(-counts, kind="stable")
    slots = np.empty(len(counts), np.int64)
    # The last block of every device, whose last place stays empty, is dealt to last.
    place, turn = np.divmod(np.arange(len(counts)), blocks)
    block, device = np.divmod(turn, devices)
    slots[order] = (device * sizes.blocks + block) * sizes.rows + place
    return Deal(sizes, devices, slots)


def count_chunks(deal: Deal, rows: np.ndarray) -> int:
    """Chunks of the fullest block, for the rows of these ratings."""
    sizes = deal.sizes
    counts = np.bincount(deal.slots[rows], minlength=deal.devices * deal.places)
    needed = -(-counts // sizes.width)
    return max(1, int(-(-needed.reshape(-1, sizes.rows).sum(axis=1).max() // sizes.chunk)))


def cut_segments(
    deal: Deal, rows: np.ndarray, columns: np.ndarray, values: np.ndarray, empty: int, room: int
) -> Segments:
    """Cut the ratings of every row into segments.

    Args:
        deal: Where each row stands.
        rows: ``[rating]``, rows.
        columns: ``[rating]``, places on the other side.
        values: ``[rating]``.
        empty: The place of the other side that is empty.
        room: Chunks to make room for in each block.

    Returns:
        The segments.
    """
    sizes, blocks = deal.sizes, deal.devices * deal.sizes.blocks
    slots = deal.slots[rows]
    order = np.argsort(slots, kind="stable")
    slots = slots[order]
    counts = np.bincount(slots, minlength=blocks * sizes.rows)
    needed = (-(-counts // sizes.width)).reshape(blocks, sizes.rows)
    filled = needed.sum(axis=1)
    first = (np.cumsum(needed, axis=1) - needed).ravel()
    within = np.arange(len(slots)) - (np.cumsum(counts) - counts)[slots]
    segment, lane = np.divmod(within, sizes.width)
    segment += slots // sizes.rows * room * sizes.chunk + first[slots]
    shape = (deal.devices, sizes.blocks, room, sizes.chunk)
    placed = np.full((*shape, sizes.width), empty, np.int32)
    placed.reshape(-1, sizes.width)[segment, lane] = columns[order]
    rated = np.zeros((*shape, sizes.width), np.float32)
    rated.reshape(-1, sizes.width)[segment, lane] = values[order]
    # What is left over goes to the last row of a block, and adds zero.
    owners = np.full((blocks, room * sizes.chunk), sizes.rows - 1, np.int32)
    for number in range(blocks):
        owners[number, : filled[number]] = np.repeat(np.arange(sizes.rows), needed[number])
    used = -(-filled // sizes.chunk)
    return Segments(
        placed,
        rated,
        owners.reshape(shape),
        used.reshape(deal.devices, sizes.blocks).astype(np.int32),
    )
