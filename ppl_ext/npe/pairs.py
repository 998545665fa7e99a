"""Pairs of latent coordinates and features, in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

__all__ = ["Batches", "Pairs"]

_MOST_STEPS = 64  # of a block, which is what one call of a compiled program is fed
_FEWEST_STEPS = 64  # between two looks at the held-out pairs

# Rows of a table as ``(u[row, dim], f[row, width])``.
Read = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Pairs:
    """Training pairs, in memory or read from a table as they are needed.

    Args:
        read: ``rows -> (u[row, dim], f[row, width])``.
        rows: The rows to train on.
        held_out: Pairs that are not trained on.

    Example:
        >>> u, f = np.zeros((10, 1), np.float32), np.zeros((10, 2), np.float32)
        >>> pairs = Pairs(lambda rows: (u[rows], f[rows]), np.arange(8), (u[8:], f[8:]))
        >>> [u.shape for u, f in Batches(pairs, 4, np.random.default_rng(0)).epoch()]
        [(64, 4, 1)]
    """

    read: Read
    rows: np.ndarray
    held_out: tuple[np.ndarray, np.ndarray]


class Batches:
    """Epochs over pairs in random order.

    Args:
        pairs: The pairs.
        batch_size: Pairs of a step; fewer where there are not as many.
        rng: Source of the order.
    """

    def __init__(self, pairs: Pairs, batch_size: int, rng: np.random.Generator) -> None:
        self._pairs = pairs
        self._size = min(batch_size, len(pairs.rows))
        self._rng = rng

    def epoch(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Blocks ``(u[step, batch, dim], f[step, batch, width])`` between two looks.

        They go about once through the pairs, or several times where there are few. All blocks
        have as many steps, so that one program is compiled for them.
        """
        rows = self._pairs.rows
        once = len(rows) // self._size
        turns = -(-_FEWEST_STEPS // once)
        blocks = -(-once * turns // _MOST_STEPS)
        steps = once * turns // blocks
        order = np.concatenate([self._rng.permutation(rows) for _ in range(turns)])
        for block in range(blocks):
            start = block * steps * self._size
            u, f = self._pairs.read(order[start : start + steps * self._size])
            yield u.reshape(steps, self._size, -1), f.reshape(steps, self._size, -1)
