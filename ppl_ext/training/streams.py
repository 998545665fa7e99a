"""Batches of every kind, one after another, epoch after epoch."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from ppl_ext.byte_order import to_native
from ppl_ext.training.minibatches import Batch, Minibatches

__all__ = [
    "OWN_ORDER",
    "Place",
    "Source",
    "Stream",
    "as_source",
    "join_batches",
    "read_held_out",
    "sum_batch",
    "walk",
]

_MOST_HELD_OUT, _JOINED, _SUMMED = 32, 8, 8  # batches

OWN_ORDER = (
    "A loader that shuffles by itself cannot be gone on with: let the order follow from the "
    "number of the epoch, batches=Minibatches(x, batch_size=256), or a function of it, such as "
    "batches=Minibatches(x, batch_size=256).epoch."
)
"""What to do where the order of batches is another one at each pass."""

Source = Minibatches | Iterable[Any] | Callable[[int], Iterable[Any]]
"""What a user may give: `Minibatches`; what can be gone through anew for each epoch, such as a
list or a data loader; or a function of the number of the epoch."""


@dataclass(frozen=True)
class Place:
    """A batch in the order of a training.

    Args:
        epoch: Number of its epoch.
        batch: Number of the batch in it.
        last: Whether it is the last one there.
    """

    epoch: int
    batch: int
    last: bool = False


class Stream:
    """Batches that come from outside, one pass an epoch.

    Args:
        open_epoch: Opens an epoch, by its number.
    """

    def __init__(self, open_epoch: Callable[[int], Iterable[Any]]) -> None:
        self._open = open_epoch
        self._found: dict[int, tuple[int, int]] = {}  # batches and rows of each whole epoch
        self._sums: tuple[int, list[int]] = (0, [])  # an epoch, checksums of its first batches
        self._expected: tuple[int, int, int] | None = None

    def __len__(self) -> int:
        """Batches of an epoch; 0 until one was gone through."""
        return self._found[0][0] if 0 in self._found else 0

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from one of them on.

        Raises:
            ValueError: A batch is empty, or the epoch has other rows than the one before.
        """
        batches = rows = first = 0
        self._sums = number, []
        for index, given in enumerate(self._open(number)):
            batch = to_native(_as_batch(given, index))
            count = _count_rows(batch, index)
            rows, first = rows + count, count if not index else first
            if count != first:
                raise ValueError(
                    f"fit_minibatches: batch {index} has {count} rows, those before it {first}; "
                    "expected as many, since a step counts alike and the rows of a small batch "
                    "would weigh more. Leave it out, in another order each epoch: "
                    "DataLoader(..., shuffle=True, drop_last=True)."
                )
            batches += 1
            self._check_order(number, index, batch)
            if index >= start:
                yield batch
        found = self._found.setdefault(number, (batches, rows))
        before = self._found.get(number - 1, found)
        if found != before or not batches:
            raise ValueError(
                f"fit_minibatches: epoch {number} had {batches:,} batches with {rows:,} rows, "
                f"the one before {before[0]:,} with {before[1]:,}; expected the same in each. "
                "Read them from a file that stays as it is; a generator is used up after one "
                "pass: give a function, batches=lambda epoch: make_batches()."
            )

    def once(self) -> Iterator[Batch]:
        """The batches of the first epoch, as they come."""
        for index, given in enumerate(self._open(0)):
            batch = to_native(_as_batch(given, index))
            _count_rows(batch, index)
            yield batch

    def identity(self) -> dict[str, Any]:
        """What tells this source from others, in JSON."""
        return {"the batches": "a stream"}

    def sum_beginning(self, count: int) -> int:
        """Checksum of the first batches of the epoch that was opened last, of some at most."""
        return self._sums[1][min(count, _SUMMED) - 1]

    def expect(self, number: int, count: int, checksum: int) -> None:
        """Refuse an epoch that begins otherwise when it is opened again."""
        self._expected = number, min(count, _SUMMED), checksum

    def _check_order(self, number: int, index: int, batch: Batch) -> None:
        _, sums = self._sums
        if index < _SUMMED:
            sums.append(sum_batch(sums[-1] if sums else 0, batch))
        if self._expected is None or (number, index + 1) != self._expected[:2]:
            return
        if sums[-1] != self._expected[2]:
            raise ValueError(
                f"fit_minibatches: epoch {number} begins with other batches than it did before "
                f"the checkpoint was written; expected the same, to go on bit for bit. {OWN_ORDER}"
            )
        self._expected = None


def as_source(batches: Source) -> Minibatches | Stream:
    """What a user gave, as epochs of batches.

    Raises:
        TypeError: It cannot be gone through more than once.
    """
    if isinstance(batches, Minibatches):
        return batches
    if callable(batches):
        return Stream(batches)
    array = hasattr(batches, "shape") or isinstance(batches, Mapping)
    if array or not isinstance(batches, Iterable) or isinstance(batches, Iterator):
        raise TypeError(
            f"fit_minibatches: batches is a {type(batches).__name__}; expected Minibatches, a "
            "data loader or list of tuples of arrays, or a function of the number of the epoch "
            "that opens one, since the data are gone through many times. Write "
            "Minibatches(x, batch_size=256)."
        )
    return Stream(lambda _: batches)


def walk(source: Minibatches | Stream, start: Place, end: int) -> Iterator[tuple[Place, Batch]]:
    """All batches from a place on.

    Args:
        source: The epochs.
        start: The place.
        end: Epoch before which it ends.
    """
    for number in range(start.epoch, end):
        first = start.batch if number == start.epoch else 0
        batches = enumerate(source.epoch(number, first), first)
        latest = next(batches, None)
        while latest is not None:
            following = next(batches, None)
            yield Place(number, latest[0], last=following is None), latest[1]
            latest = following


def read_held_out(held_out: Source) -> list[Batch]:
    """The first batches of those that are held out.

    Raises:
        TypeError: They are no batches.
    """
    return list(islice(as_source(held_out).epoch(0), _MOST_HELD_OUT))


def join_batches(source: Minibatches | Stream) -> Batch:
    """The first batches of a source as one, for a guide that looks at its first data.

    Batches whose shapes differ in more than their rows stay by themselves: the first is taken.
    """
    batches = list(islice(source.epoch(0), _JOINED))
    shapes = {tuple(np.shape(array)[1:] for array in batch) for batch in batches}
    if len(shapes) > 1:
        return batches[0]
    return tuple(
        np.concatenate([np.asarray(a) for a in each]) for each in zip(*batches, strict=True)
    )


def sum_batch(total: int, batch: Batch) -> int:
    """Go on with a checksum, by the arrays of a batch."""
    for array in batch:
        total = zlib.crc32(np.ascontiguousarray(array).tobytes(), total)
    return total


def _as_batch(given: Any, index: int) -> Batch:
    if isinstance(given, Mapping):
        names = ", ".join(f"batch[{name!r}]" for name in given)
        raise TypeError(
            f"fit_minibatches: batch {index} is a {type(given).__name__} with {list(given)}; "
            "expected a tuple of the model's arguments, in their order. Write batches=lambda "
            f"epoch: (({names},) for batch in loader)."
        )
    return tuple(given) if isinstance(given, list | tuple) else (given,)


def _count_rows(batch: Batch, index: int) -> int:
    """The rows of a batch: the length of its first array."""
    shapes = [np.shape(array) for array in batch]
    if not shapes or not all(shape and shape[0] for shape in shapes):
        raise ValueError(
            f"fit_minibatches: batch {index} has arrays of shapes {shapes}; expected at least one "
            "row in each. Leave empty batches out (drop_last=True of a data loader)."
        )
    return int(shapes[0][0])
