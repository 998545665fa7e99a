"""Which value of the data made a loss that is not finite."""

from __future__ import annotations

import numpy as np

from ppl_ext.training.minibatches import Batch, Minibatches
from ppl_ext.training.streams import Place, Stream

__all__ = ["blame_data"]


def blame_data(source: Minibatches | Stream, place: Place, batch: Batch, step: int) -> None:
    """Refuse a batch whose values are not finite and made a loss that is not."""
    for position, array in enumerate(batch):
        values = np.asarray(array)
        if values.dtype.kind != "f" or np.isfinite(values).all():
            continue
        row, *rest = np.argwhere(~np.isfinite(values))[0].tolist()
        where = f"row {row} of batch {place.batch} of epoch {place.epoch}"
        if isinstance(source, Minibatches):
            where = f"row {source.find_row(place.epoch, place.batch, row):,}"
        entry = f", entry {tuple(rest)}" if rest else ""
        raise FloatingPointError(
            f"fit_minibatches: the loss of step {step:,} or its gradient is not finite, and "
            f"argument {position} of the model is {values[(row, *rest)]} in {where}{entry}; "
            "expected finite numbers. "
            "Leave such rows out, or hide missing values by a mask and put numbers below it: "
            "obs=nan_to_num(x)."
        )
