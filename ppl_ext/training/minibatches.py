"""Minibatches from arrays that may be larger than memory."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np

from ppl_ext.byte_order import to_native

__all__ = ["Batch", "Minibatches"]

_HELD_OUT = 8  # batches
_MAPPED_ROWS = 16

Batch = tuple[Any, ...]
"""The positional arguments of a model for one step: arrays with a row for each datum."""


class Minibatches:
    """Batches of rows, drawn without replacement and in another order in every epoch.

    The order of an epoch follows from seed and number of the epoch alone, so that a training can
    go on in the middle of one. The rows of an epoch that fill no whole batch wait for another
    epoch. Arrays are read batch by batch: of a memory map (``np.load(path, mmap_mode="r")``)
    never more than one batch is held, however long it is.

    Args:
        *arrays: Arrays whose first axes have one length, in the order of the model's arguments.
        batch_size: Rows of a batch.
        seed: Seed of the order.

    Raises:
        TypeError: There is no array, one without a first axis, or one that holds no numbers.
        ValueError: The arrays have different lengths, or the batch is no positive whole number
            or larger than the data.

    Example:
        >>> x, label = np.arange(10.0), np.arange(10) % 2
        >>> batches = Minibatches(x, label, batch_size=4)
        >>> len(batches), [rows.shape for rows, _ in batches.epoch(0)]
        (2, [(4,), (4,)])
        >>> train, held_out = batches.split(0.4)
        >>> train.num_rows, held_out.num_rows
        (6, 4)
    """

    def __init__(self, *arrays: Any, batch_size: int, seed: int = 0) -> None:
        self.arrays = tuple(_as_array(position, array) for position, array in enumerate(arrays))
        if not arrays:
            raise TypeError(
                "Minibatches: no array was given; expected the model's arguments. Write "
                f"Minibatches(x, batch_size={batch_size})."
            )
        self.batch_size, self.seed = batch_size, seed
        self._length = len(self.arrays[0])
        self._rows: np.ndarray | None = None
        self._check_lengths()
        self._check_batch_size()

    @property
    def num_rows(self) -> int:
        """Rows that are drawn from."""
        return self._length if self._rows is None else len(self._rows)

    def __len__(self) -> int:
        """Batches of an epoch."""
        return self.num_rows // self.batch_size

    def __iter__(self) -> Iterator[Batch]:
        return self.epoch(0)

    def split(self, share: float) -> tuple[Minibatches, Minibatches]:
        """Divide the rows at random, without reading them.

        Args:
            share: Share of the rows that the second part gets.

        Returns:
            Those to train on, and those to hold out (``fit_minibatches(..., held_out=)``), whose
            batches are smaller where that gives eight, from which noise can be told.

        Raises:
            ValueError: The share is not between 0 and 1, or leaves a part without a batch.
        """
        rows = np.arange(self._length) if self._rows is None else self._rows
        count = round(share * len(rows)) if 0 < share < 1 else 0
        if not 0 < count <= len(rows) - self.batch_size:
            raise ValueError(
                f"Minibatches.split: share = {share} of {len(rows):,} rows; expected a share "
                f"between 0 and 1 that leaves {self.batch_size} rows, a batch, to train on and "
                "one row to hold out. Write batches.split(0.1)."
            )
        shuffled = np.random.default_rng((self.seed, 1)).permutation(rows)
        small = max(1, min(self.batch_size, count // _HELD_OUT))
        return self._part(shuffled[count:], self.batch_size), self._part(shuffled[:count], small)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch.

        Args:
            number: Number of the epoch, counted from 0.
            start: Batch to begin with.

        Raises:
            ValueError: The data have another length than before.
        """
        self._check_lengths()
        order = self._order(number)
        for index in range(start, len(self)):
            yield self._read(self._cut(order, index))

    def once(self) -> Iterator[Batch]:
        """All rows in their order; the last batch may be smaller."""
        self._check_lengths()
        rows = np.arange(self._length) if self._rows is None else np.sort(self._rows)
        for start in range(0, len(rows), self.batch_size):
            yield self._read(rows[start : start + self.batch_size])

    def find_row(self, number: int, batch: int, row: int) -> int:
        """The row of the arrays that a row of a batch was read from.

        Args:
            number: Number of the epoch.
            batch: Number of the batch.
            row: Row in it.
        """
        return int(self._cut(self._order(number), batch)[row])

    def identity(self) -> dict[str, Any]:
        """What tells this source from others, in JSON."""
        return {
            "batch_size": int(self.batch_size),
            "the seed of the batches": int(self.seed),
            "the rows": self.num_rows,
            "the arrays": [[str(a.dtype), list(a.shape)] for a in self.arrays],
        }

    def _order(self, number: int) -> np.ndarray:
        rng = np.random.default_rng((self.seed, 0, number))
        return rng.permutation(self._length if self._rows is None else self._rows)

    def _cut(self, order: np.ndarray, index: int) -> np.ndarray:
        # In the order of the file, which HDF5 asks for and disks like.
        return np.sort(order[index * self.batch_size : (index + 1) * self.batch_size])

    def _part(self, rows: np.ndarray, batch_size: int) -> Minibatches:
        part = Minibatches(*self.arrays, batch_size=batch_size, seed=self.seed)
        part._rows = rows
        return part

    def _read(self, rows: np.ndarray) -> Batch:
        return tuple(to_native(_read_rows(array, rows)) for array in self.arrays)

    def _check_lengths(self) -> None:
        lengths = [len(array) for array in self.arrays]
        if lengths != [self._length] * len(lengths):
            raise ValueError(
                f"Minibatches: the arrays have {lengths} rows; expected {self._length:,} in each, "
                "as at first. Pass arrays with one row for each datum that stay as they are."
            )

    def _check_batch_size(self) -> None:
        size = self.batch_size
        whole = isinstance(size, int | np.integer) and not isinstance(size, bool)
        if not whole or not 1 <= size <= self._length:
            raise ValueError(
                f"Minibatches: batch_size = {size!r}, and there are {self._length:,} rows; "
                "expected a whole number from 1 to the rows. Write Minibatches(x, "
                f"batch_size={max(1, min(256, self._length))})."
            )


def _as_array(position: int, array: Any) -> Any:
    """An array with rows; what reads them by itself (a tensor, an HDF5 data set) stays so."""
    # A frame picks rows by their labels.
    found = np.asarray(array) if hasattr(array, "iloc") else array
    found = found if hasattr(found, "shape") else np.asarray(found)
    if isinstance(found, np.ma.MaskedArray):
        raise TypeError(
            f"Minibatches: argument {position} is a masked array, whose mask no model sees; "
            "expected a plain one. Write x.filled(np.nan), and a mask in the model."
        )
    if getattr(getattr(found, "dtype", None), "kind", "f") not in "biufc":
        raise TypeError(
            f"Minibatches: argument {position} holds {found.dtype}, of which no model makes "
            "numbers; expected an array of numbers. Write x.astype(float), for each column by "
            "itself where they are of different kinds."
        )
    if not len(found.shape):
        raise TypeError(
            f"Minibatches: argument {position} is one number; expected an array with a row for "
            "each datum. Give the model constants by itself: functools.partial(model, scale=2.0)."
        )
    return found


def _read_rows(array: Any, rows: np.ndarray) -> Any:
    """Rows of an array; of a mapped file, no more pages than some rows need are held at once."""
    mapped = _find_map(array)
    if mapped is None:
        return array[rows]
    found = np.empty((len(rows), *array.shape[1:]), array.dtype)
    for start in range(0, len(rows), _MAPPED_ROWS):
        few = slice(start, start + _MAPPED_ROWS)
        found[few] = array[rows[few]]
        # Pages that were read stay, up to two megabytes for each row, and add up to the file.
        mapped.madvise(mmap.MADV_DONTNEED)
    return found


def _find_map(array: Any) -> mmap.mmap | None:
    """The map of a file that an array lies in, where its pages can be given back."""
    # Of a copy on write they hold what was written.
    if not hasattr(mmap, "MADV_DONTNEED") or getattr(array, "mode", "c") == "c":
        return None
    mapped = array
    while mapped is not None and not isinstance(mapped, mmap.mmap):
        mapped = getattr(mapped, "base", None)
    return mapped
