"""Ratings that do not fit in memory: items learned from one block of users after another."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ppl_ext.factorization.census import Census, count_ratings
from ppl_ext.factorization.factors import Factors
from ppl_ext.factorization.model import MatrixFactorization
from ppl_ext.factorization.ratings import Ratings
from ppl_ext.factorization.side import TILE, Side
from ppl_ext.factorization.start import open_fit
from ppl_ext.fitting import drive

if TYPE_CHECKING:
    from ppl_ext.factorization.stream_ascent import StreamAscent

__all__ = ["StreamedFactorization"]


@dataclass(frozen=True)
class StreamedFactorization:
    r"""A matrix factorization fitted to a stream of ratings by natural gradients.

    In each of ``passes`` a step follows every block: its users are solved exactly, and the natural
    parameters of its items move towards what the block says by
    :math:`\rho_t = \max(t^{-\mathrm{forgetting}}, 1 / \mathrm{blocks})`, noise and priors with
    them. Then whole sweeps, the exact coordinate ascent of `MatrixFactorization` read from the
    stream, end the fit where the ELBO stops rising. Memory is a block, the items with the sums
    over their ratings, and 12 bytes for each user; and the users' posteriors, where they are kept.

    Not for ratings that fit in memory: `MatrixFactorization` needs no passes over a file. Not for
    blocks of a few dozen users, whose steps are noise.

    Args:
        model: Settings of the factorization; ``max_sweeps`` limits the whole sweeps, ``restarts``
            and ``checkpoint`` are not for streams.
        passes: Passes over the stream with a step after each block.
        forgetting: How fast steps shrink, above 0.5 and at most 1.
        keep_users: Keep the posteriors of the users; else the result has none, and
            ``factors.fold_in_users(ratings)`` gives those that are asked for.

    Raises:
        ValueError: A setting is outside its range.
        TypeError: The model is something else.

    Example:
        >>> from ppl_ext.factorization import cut_blocks, simulate_ratings
        >>> ratings = simulate_ratings(num_users=200, num_items=60, seed=0).ratings
        >>> stream = StreamedFactorization(MatrixFactorization(2), passes=3)
        >>> streamed = stream.fit(cut_blocks(ratings, 500), progress_bar=False)
        >>> whole = MatrixFactorization(2).fit(ratings, progress_bar=False)
        >>> bool(abs(streamed.elbo[-1] - whole.elbo[-1]) < 0.01 * abs(whole.elbo[-1]))
        True

    References:
        Hoffman, Blei, Wang, Paisley (2013), Stochastic variational inference, JMLR 14.
    """

    model: MatrixFactorization = field(default_factory=MatrixFactorization)
    passes: int = 5
    forgetting: float = 0.8
    keep_users: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.model, MatrixFactorization):
            raise TypeError(
                f"StreamedFactorization: model={self.model!r}; expected settings. Write "
                "StreamedFactorization(MatrixFactorization(16))."
            )
        whole = isinstance(self.passes, int | np.integer) and self.passes >= 0
        if not whole or not 0.5 < self.forgetting <= 1:
            raise ValueError(
                f"StreamedFactorization: passes={self.passes}, forgetting={self.forgetting}; "
                "expected no negative number of passes, and forgetting above 0.5 and at most 1, "
                "where steps converge. Leave them out."
            )

    def fit(self, blocks: Iterable[Ratings], *, progress_bar: bool = True) -> Factors:
        """Go through a stream again and again until the ELBO stops rising.

        Args:
            blocks: Ratings of some users after ratings of others, each block with labels of its
                own, such as `RatingStream` or `cut_blocks`; gone through ``passes`` times, once
                to count, and once for each whole sweep.
            progress_bar: Draw a bar, of passes.

        Returns:
            The factors. Their ``elbo`` holds one value a pass: estimates while there are steps,
            which may fall, and exact ones for the whole sweeps.

        Raises:
            ValueError: There are no ratings, or the blocks cannot be gone through again.
            TypeError: These are no blocks.
            ModuleNotFoundError: numba is not installed.
        """
        if isinstance(blocks, Ratings) or not isinstance(blocks, Iterable):
            raise TypeError(
                f"StreamedFactorization.fit: got a {type(blocks).__name__}; expected blocks of "
                "ratings. Pass RatingStream(path), or cut_blocks(ratings, 10**6)."
            )
        if iter(blocks) is blocks:
            raise ValueError(
                f"StreamedFactorization.fit: blocks is a {type(blocks).__name__}, which can be "
                "gone through once; expected one that starts anew. Pass RatingStream(path), or a "
                "list."
            )
        census = count_ratings(blocks)
        opening = open_fit(
            "StreamedFactorization.fit", self.model, census.item_ids[:0], census.item_ids,
            mean=census.mean, variance=census.variance,
            seed=np.random.SeedSequence(self.model.seed).spawn(1)[0],
        )  # fmt: skip
        from ppl_ext.factorization.stream_ascent import StreamAscent

        threads = self.model.num_threads or os.cpu_count() or 1
        with ThreadPoolExecutor(threads) as pool:
            run = pool.map if threads > 1 else map
            ascent = StreamAscent(self.model, census, opening, run)
            journey = _Journey(self, blocks, census, ascent)
            log = drive(
                journey.advance,
                max_steps=self.passes + self.model.max_sweeps,
                rule=journey.judge,
                chunk=1,
                progress_bar=progress_bar,
                describe=f"stream, {self.model.num_factors} factors",
            )
        if log.interrupted and journey.elbo[self.passes :] == []:
            raise KeyboardInterrupt
        users = ascent.users if journey.users is None else journey.users
        users = replace(users, prior=ascent.users.prior,
                        concentration=ascent.users.concentration)  # fmt: skip
        return Factors(
            users, ascent.items, self.model.biases, self.model.diagonal, opening.state.center,
            ascent.noise_precision, len(journey.elbo), np.array(journey.elbo), log,
        )  # fmt: skip


class _Journey:
    """Passes over a stream.

    Args:
        settings: How many of which kind.
        blocks: The stream.
        census: Its counts.
        ascent: What is learned.
    """

    def __init__(
        self, settings: StreamedFactorization, blocks: Iterable[Ratings], census: Census,
        ascent: StreamAscent,
    ):  # fmt: skip
        self._settings, self._blocks = settings, blocks
        self._census, self._ascent = census, ascent
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
            users = ascent.meet(block, self._weights[number])
            self._weights[number] = users.weights.astype(users.summary.dtype)
            if self._settings.keep_users:
                self._keep(users, at)
            at += len(users)
        ascent.solve(np.arange(len(ascent.items)))
        return ascent.conclude(len(self.elbo))

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
