"""A table of simulations in memory, filled chunk by chunk."""

import numpy as np

from ppl_ext.simulation.array_checks import refuse_all_failed
from ppl_ext.simulation.chunks import Chunk, Layout, check_layout, plan_chunks
from ppl_ext.simulation.ledger import PENDING, Ledger
from ppl_ext.simulation.simulations import Simulations

__all__ = ["MemoryTable"]


class MemoryTable:
    """A table in memory.

    Args:
        num_rows: Rows.
        chunk_size: Rows of a chunk.

    Example:
        >>> table = MemoryTable(4, chunk_size=2)
        >>> for first, size in table.missing:
        ...     mu = np.arange(first, first + size)
        ...     table.write(Chunk(first, size, {"latent": {"mu": mu}, "observed": {"y": -mu}}, {}))
        >>> table.read().observed["y"].tolist()
        [0, -1, -2, -3]
    """

    def __init__(self, num_rows: int, chunk_size: int) -> None:
        self.missing = plan_chunks(0, num_rows, chunk_size)
        self._ledger = Ledger(np.full(num_rows, PENDING, dtype=np.uint8))
        self._layout: Layout | None = None
        self._layout_row = 0
        self._arrays: dict[str, dict[str, np.ndarray]] = {}

    def write(self, chunk: Chunk) -> None:
        """Put a chunk into its place.

        Args:
            chunk: The chunk.

        Raises:
            ValueError: It has other sites, shapes or types than the first one.
        """
        if self._layout is None:
            self._layout, self._layout_row = chunk.layout, chunk.first_row
            self._arrays = {
                group: {
                    name: np.zeros((len(self._ledger.codes), *shape), dtype)
                    for name, (shape, dtype) in sites.items()
                }
                for group, sites in (self._layout or {}).items()
            }
        else:
            check_layout(self._layout, chunk, f"row {self._layout_row}")
        for group, sites in chunk.arrays.items():
            for name, values in sites.items():
                array = self._arrays[group][name]
                array[chunk.first_row : chunk.first_row + chunk.size] = values
        self._ledger.enter(chunk)

    def read(self) -> Simulations:
        """The sound rows.

        Returns:
            The simulations.

        Raises:
            ValueError: All failed.
        """
        rows, dropped = self._ledger.find_sound(), self._ledger.count_dropped()
        refuse_all_failed("run_simulations", rows, dropped)
        latent, observed = self._arrays["latent"], self._arrays["observed"]
        if len(rows) < len(self._ledger.codes):
            latent, observed = (
                {name: array[rows] for name, array in sites.items()}
                for sites in (latent, observed)
            )
        return Simulations(latent, observed, dropped)
