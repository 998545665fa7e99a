"""Between the arrays of the hall and those of devices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ppl_ext.factorization.model.hyperparameters import Conclusion, SideSums
from ppl_ext.factorization.model.side_posterior import Side, cut_tiles
from ppl_ext.numpyro.factorization.kernel import Rows, Totals

__all__ = ["list_knowns", "make_side", "read_table", "read_totals"]


def read_table(side: Side) -> np.ndarray:
    """The triangles of a side row by row, ``[row, packed]``."""
    flat = side.table.transpose(1, 0, 2).reshape(len(side), -1)
    return flat[:, : side.dim * (side.dim + 1) // 2]


def make_side(
    side: Side, rows: Rows, counts: np.ndarray, known: Conclusion, used: Conclusion, which: int
) -> Side:
    """The rows of a side after a fit."""
    # Shapes and rates are those of the sweep, which came before the prior learned from them.
    start = used.concentrations[which]
    shape, rate = side.shape, side.rate
    if start:
        shape = start + counts / 2
        rate = start + used.noise_precision * rows.errors / 2
    return replace(
        side,
        table=cut_tiles(np.asarray(rows.table, side.table.dtype)),
        summary=np.ascontiguousarray(rows.summary),
        shape=shape,
        rate=rate,
        prior=known.priors[which],
        concentration=known.concentrations[which],
    )


def list_knowns(known: Conclusion, center: float) -> list[tuple[Any, ...]]:
    """What a sweep is made with, of the users and of the items, in the order of `Knowns`."""
    return [
        (
            prior.precision,
            prior.mean,
            np.float64(known.noise_precision),
            np.float64(start),
            np.float64(center),
        )
        for prior, start in zip(known.priors, known.concentrations, strict=True)
    ]


def read_totals(totals: Totals, rows: float) -> SideSums:
    """Sums over a side, which every device knows."""
    read = Totals(*(np.asarray(each.addressable_data(0)) for each in totals))
    return SideSums(
        rows,
        read.first,
        read.second,
        float(read.log_det),
        float(read.weight),
        float(read.log_weight),
        float(read.counted),
        float(read.scatter),
    )
