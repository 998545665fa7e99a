"""Passes over a stream of ratings: steps block by block, and whole sweeps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from ppl_ext.factorization.data.ratings import Ratings
from ppl_ext.factorization.model.cache_lines import zeros_on_lines
from ppl_ext.factorization.model.posterior import Posterior
from ppl_ext.factorization.model.side_posterior import TILE, Side
from ppl_ext.factorization.solver.stream_ascent import StreamAscent
from ppl_ext.factorization.solver.stream_counts import StreamCounts

__all__ = ["Schedule", "StreamPasses"]


@dataclass(frozen=True)
class Schedule:
    """How a stream is gone through.

    Args:
        max_passes: Passes with a step after each block.
        forgetting: How fast these steps shrink.
        keep_users: Keep the posteriors of the users.
        tolerance: Rise of the ELBO in a whole sweep, in nats per rating, at which it ends.
    """

    max_passes: int
    forgetting: float
    keep_users: bool
    tolerance: float


class StreamPasses:
    """Passes over a stream.

    Args:
        schedule: How many of which kind.
        blocks: The stream.
        counts: Its counts.
        ascent: What is learned.
        start: An earlier fit.
    """

    def __init__(
        self,
        schedule: Schedule,
        blocks: Iterable[Ratings],
        counts: StreamCounts,
        ascent: StreamAscent,
        start: Posterior | None,
    ):
        self._schedule, self._blocks = schedule, blocks
        self._counts, self._ascent = counts, ascent
        self._earlier = None if start is None else start.users
        self._order: np.ndarray | None = None
        self._sweeps = 0 if start is None else start.sweeps
        self.elbo: list[float] = []
        self.users: Side | None = None
        self._weights: list[np.ndarray | None] = [None] * len(counts.user_counts)
        self._steps = 0

    def advance(self, steps: int) -> np.ndarray:
        """Make one pass."""
        stepping = len(self.elbo) < self._schedule.max_passes
        self.elbo.append(self._step() if stepping else self._sweep())
        return np.array([-self.elbo[-1]])

    def judge(self, losses: np.ndarray) -> str | None:
        """Say why it is enough."""
        tolerance = self._schedule.tolerance
        # The first whole sweep is compared with nothing: estimates came before it.
        whole = losses[self._schedule.max_passes :]
        if len(losses) < 6 or len(whole) < 2:
            return None
        if whole[-2] - whole[-1] > tolerance * self._counts.count:
            return None
        return f"the ELBO rises by less than {tolerance:g} nats per rating and sweep"

    def _step(self) -> float:
        ascent, bound = self._ascent, 0.0
        everyone = sum(self._counts.user_counts)
        unrated = np.flatnonzero(self._counts.item_counts == 0)
        for number, block in enumerate(self._read()):
            self._steps += 1
            # Once a pass is remembered, what came before it says nothing that is not said anew.
            length = max(self._steps**-self._schedule.forgetting, 1 / len(self._weights))
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
            if self._schedule.keep_users:
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
            rows = sum(self._counts.user_counts)
            self.users = replace(
                users,
                ids=np.empty(rows, users.ids.dtype),
                table=zeros_on_lines((len(users.table), rows, TILE), users.table.dtype),
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
        counts = self._counts.user_counts
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
