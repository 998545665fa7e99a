"""Passes over a stream of ratings: steps block by block, and whole sweeps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ppl_ext.factorization.data.ratings import Ratings
from ppl_ext.factorization.model.side_posterior import TILE, Side
from ppl_ext.factorization.result.factors import Factors
from ppl_ext.factorization.solver.stream_ascent import StreamAscent
from ppl_ext.factorization.solver.stream_counts import Census

if TYPE_CHECKING:
    from ppl_ext.factorization.solver.streaming import StreamedFactorization

__all__ = ["StreamPasses"]


class StreamPasses:
    """Passes over a stream.

    Args:
        settings: How many of which kind.
        blocks: The stream.
        census: Its counts.
        ascent: What is learned.
        start: An earlier fit.
    """

    def __init__(
        self, settings: StreamedFactorization, blocks: Iterable[Ratings], census: Census,
        ascent: StreamAscent, start: Factors | None,
    ):  # fmt: skip
        self._settings, self._blocks = settings, blocks
        self._census, self._ascent = census, ascent
        self._earlier = None if start is None else start.users
        self._order: np.ndarray | None = None
        self._sweeps = 0 if start is None else start.sweeps
        self.elbo: list[float] = []
        self.users: Side | None = None
        self._weights: list[np.ndarray | None] = [None] * len(census.user_counts)
        self._steps = 0

    def advance(self, steps: int) -> np.ndarray:
        """Make one pass."""
        stepping = len(self.elbo) < self._settings.passes
        self.elbo.append(self._step() if stepping else self._sweep())
        return np.array([-self.elbo[-1]])

    def judge(self, losses: np.ndarray) -> str | None:
        """Say why it is enough."""
        model = self._settings.model
        # The first whole sweep is compared with nothing: estimates came before it.
        whole = losses[self._settings.passes :]
        if len(losses) < 6 or len(whole) < 2:
            return None
        if whole[-2] - whole[-1] > model.tolerance * self._census.count:
            return None
        return f"the ELBO rises by less than {model.tolerance:g} nats per rating and sweep"

    def _step(self) -> float:
        ascent, bound = self._ascent, 0.0
        everyone = sum(self._census.user_counts)
        unrated = np.flatnonzero(self._census.item_counts == 0)
        for number, block in enumerate(self._read()):
            self._steps += 1
            # Once a pass is remembered, what came before it says nothing that is not said anew.
            length = max(self._steps**-self._settings.forgetting, 1 / len(self._weights))
            ascent.forget(length)
            users = ascent.meet(
                block, self._weights[number], length, everyone / max(1, block.num_users)
            )
            self._weights[number] = users.weights.astype(np.float32)
            rated = np.bincount(block.items, minlength=block.num_items) > 0
            rows = np.searchsorted(ascent.items.ids, block.item_ids[rated])
            # Items without ratings follow the prior, once a pass.
            ascent.solve(rows if number else np.concatenate([rows, unrated]))
            settled = bool(self.elbo) or len(self._weights) == 1
            bound = ascent.conclude(len(self.elbo), settled)
        return bound

    def _sweep(self) -> float:
        ascent, at = self._ascent, 0
        ascent.forget(1.0)
        for number, block in enumerate(self._read()):
            users = ascent.meet(block, self._recall(number, block.user_ids))
            self._weights[number] = users.weights.astype(users.summary.dtype)
            if self._settings.keep_users:
                self._keep(users, at)
            at += len(users)
        ascent.solve(np.arange(len(ascent.items)))
        return ascent.conclude(self._sweeps + len(self.elbo))

    def _recall(self, number: int, ids: np.ndarray) -> np.ndarray | None:
        """The noise weights of a block's users, of this fit or else of the earlier one."""
        weights, earlier = self._weights[number], self._earlier
        if weights is not None or earlier is None or not len(earlier):
            return weights
        if self._order is None:
            self._order = np.argsort(earlier.ids, kind="stable")
        near = np.searchsorted(earlier.ids, ids, sorter=self._order)
        rows = self._order[near.clip(max=len(earlier) - 1)]
        return np.where(earlier.ids[rows] == ids, earlier.weights[rows], 1.0)

    def _keep(self, users: Side, at: int) -> None:
        if self.users is None:
            rows = sum(self._census.user_counts)
            self.users = replace(
                users,
                ids=np.empty(rows, users.ids.dtype),
                table=np.empty((len(users.table), rows, TILE), users.table.dtype),
                summary=np.empty((rows, users.dim + 1), users.summary.dtype),
                shape=np.empty(rows),
                rate=np.empty(rows),
            )
        here = slice(at, at + len(users))
        if self.users.ids.dtype.itemsize < users.ids.dtype.itemsize:  # longer text than before
            self.users = replace(self.users, ids=self.users.ids.astype(users.ids.dtype))
        self.users.ids[here] = users.ids
        self.users.table[:, here] = users.table
        self.users.summary[here] = users.summary
        self.users.shape[here], self.users.rate[here] = users.shape, users.rate

    def _read(self) -> Iterable[Ratings]:
        """The blocks, and a refusal where they are not those that were counted."""
        counts = self._census.user_counts
        number = -1
        for number, block in enumerate(self._blocks):
            if number >= len(counts) or block.num_users != counts[number]:
                break
            yield block
        else:
            if number + 1 == len(counts):
                return
        raise ValueError(
            f"StreamedFactorization.fit: block {number} differs from what it was in the first "
            "pass; expected the same blocks in each. Do not write to the file during the fit."
        )
