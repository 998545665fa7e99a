"""The parts of a batch, and the processes that they are reckoned in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import distributed

from ppl_ext.training.minibatches import Batch
from ppl_ext.training.refusals import refuse_unequal_parts

__all__ = ["Parts", "place_parts"]


@dataclass(frozen=True)
class Parts:
    """How the rows of a batch are divided.

    Args:
        count: Parts of a batch, each with noise of its own.
        rank: Number of this process.
        num_processes: Processes that share them.
    """

    count: int
    rank: int
    num_processes: int

    @property
    def mine(self) -> range:
        """Numbers of the parts of this process."""
        share = self.count // self.num_processes
        return range(self.rank * share, (self.rank + 1) * share)

    def cut(self, batch: Batch, number: int) -> tuple[torch.Tensor, ...]:
        """One part of a batch.

        Raises:
            ValueError: The rows cannot be divided.
        """
        rows = len(batch[0])
        refuse_unequal_parts(rows, self.count)
        size = rows // self.count
        return as_tensors(tuple(each[number * size : (number + 1) * size] for each in batch))

    def average(self, sums: torch.Tensor) -> None:
        """Turn the sums over the parts of each process into means over all, in place."""
        if self.num_processes > 1:
            distributed.all_reduce(sums)
        if self.count > 1:
            sums /= self.count

    def agree(self, numbers: np.ndarray) -> np.ndarray:
        """Those of the first process."""
        if self.num_processes == 1:
            return numbers
        shared = torch.as_tensor(numbers)
        distributed.broadcast(shared, src=0)
        return shared.numpy()


def place_parts(num_parts: int | None) -> Parts:
    """Divide batches among all processes.

    Args:
        num_parts: Parts of a batch; None for one in each process.

    Raises:
        ValueError: The processes cannot share them evenly.
    """
    joined = distributed.is_available() and distributed.is_initialized()
    rank, size = (distributed.get_rank(), distributed.get_world_size()) if joined else (0, 1)
    count = num_parts or size
    if count % size:
        raise ValueError(
            f"fit_minibatches: num_parts = {count} in {size} processes; expected a multiple of "
            f"the processes. Write num_parts={size}."
        )
    return Parts(count, rank, size)


def as_tensors(batch: Batch) -> tuple[torch.Tensor, ...]:
    """Arrays as tensors, floats in torch's default precision."""
    return tuple(_as_tensor(array) for array in batch)


def _as_tensor(array: Any) -> torch.Tensor:
    tensor = torch.as_tensor(array, device=torch.get_default_device())
    return tensor.to(torch.get_default_dtype()) if tensor.is_floating_point() else tensor
