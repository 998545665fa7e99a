"""The parts of a batch, and the devices that they lie on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ppl_ext.training.refusals import refuse_unequal_parts

__all__ = ["PARTS", "Parts", "place_parts"]

PARTS = "parts"
"""Name of the mesh's axis."""


@dataclass(frozen=True)
class Parts:
    """How the rows of a batch are divided.

    Args:
        count: Parts of a batch, each with noise of its own.
        mesh: The devices that share them; None where there is one.
    """

    count: int
    mesh: Mesh | None

    def lay(self, batches: list[tuple[Any, ...]]) -> tuple[jax.Array, ...]:
        """Batches of one shape as arrays ``[step, part, row, ...]``, each part on its device.

        Raises:
            ValueError: The rows cannot be divided.
        """
        return tuple(
            self._lay_one([batch[i] for batch in batches]) for i in range(len(batches[0]))
        )

    def _lay_one(self, each: list[Any]) -> jax.Array:
        stacked = np.stack([np.asarray(array) for array in each])
        steps, rows, *rest = stacked.shape
        refuse_unequal_parts(rows, self.count)
        parts = stacked.reshape(steps, self.count, rows // self.count, *rest)
        if self.mesh is None:
            return jax.numpy.asarray(parts)
        # Every process reads whole batches and hands over the parts of its own devices.
        share = self.count // jax.process_count()
        mine = slice(jax.process_index() * share, (jax.process_index() + 1) * share)
        sharding = NamedSharding(self.mesh, PartitionSpec(None, PARTS))
        return jax.make_array_from_process_local_data(sharding, parts[:, mine], parts.shape)


def place_parts(num_parts: int | None) -> Parts:
    """Divide batches among all devices of all processes.

    Args:
        num_parts: Parts of a batch; None for one on each device.

    Raises:
        ValueError: Several processes cannot share them evenly.
    """
    devices = jax.devices()
    count = num_parts or len(devices)
    if jax.process_count() > 1 and count % len(devices):
        raise ValueError(
            f"fit_minibatches: num_parts = {count} on {len(devices)} devices of "
            f"{jax.process_count()} processes; expected a multiple of the devices. Write "
            f"num_parts={len(devices)}."
        )
    used = math.gcd(count, len(devices))
    return Parts(count, Mesh(np.array(devices[:used]), (PARTS,)) if used > 1 else None)
