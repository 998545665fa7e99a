"""Ratings that do not fit in memory: items learned from one block of users after another."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np

from ppl_ext.factorization.data.ratings import Ratings
from ppl_ext.factorization.fitting.first_state import expect_variances, open_fit
from ppl_ext.factorization.fitting.matrix_factorization import MatrixFactorization
from ppl_ext.factorization.model.side_rows import require_numba
from ppl_ext.factorization.result.factors import Factors
from ppl_ext.factorization.solver.stream_counts import count_ratings
from ppl_ext.fitting.loop import drive

__all__ = ["StreamedFactorization"]

_CALLED = "StreamedFactorization.fit"


@dataclass(frozen=True)
class StreamedFactorization:
    r"""A matrix factorization fitted to a stream of ratings by natural gradients.

    In each of ``max_passes`` a step follows every block: its users are solved exactly, and the
    natural parameters of its items move towards what the block says by
    :math:`\rho_t = \max(t^{-\mathrm{forgetting}}, 1 / \mathrm{blocks})`, noise and priors with
    them. Then whole sweeps, the exact coordinate ascent of `MatrixFactorization` read from the
    stream, end the fit where the ELBO stops rising. Memory is a block, the items with the sums
    over their ratings, and 12 bytes for each user; and the users' posteriors, where they are kept.

    Not for ratings that fit in memory: `MatrixFactorization` needs no passes over a file. Not for
    blocks of a few dozen users, whose steps are noise.

    Args:
        model: Settings of the factorization; ``max_sweeps`` limits the whole sweeps,
            ``num_starts`` and ``checkpoint`` are not for streams.
        max_passes: Passes over the stream with a step after each block.
        forgetting: How fast steps shrink, above 0.5 and at most 1.
        keep_users: Keep the posteriors of the users; else the result has none, and
            ``factors.fold_in_users(ratings)`` gives those that are asked for.

    Raises:
        ValueError: A setting is outside its range.
        TypeError: The model is something else.

    Example:
        >>> from ppl_ext.factorization import cut_by_user, simulate_ratings
        >>> ratings = simulate_ratings(num_users=200, num_items=60, seed=0).ratings
        >>> stream = StreamedFactorization(MatrixFactorization(2), max_passes=3)
        >>> streamed = stream.fit(cut_by_user(ratings, 500), progress_bar=False)
        >>> whole = MatrixFactorization(2).fit(ratings, progress_bar=False)
        >>> bool(abs(streamed.elbo[-1] - whole.elbo[-1]) < 0.01 * abs(whole.elbo[-1]))
        True

    References:
        Hoffman, Blei, Wang, Paisley (2013), Stochastic variational inference, JMLR 14.
    """

    model: MatrixFactorization = field(default_factory=MatrixFactorization)
    max_passes: int = 5
    forgetting: float = 0.8
    keep_users: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.model, MatrixFactorization):
            raise TypeError(
                f"StreamedFactorization: model={self.model!r}; expected settings. Write "
                "StreamedFactorization(MatrixFactorization(16))."
            )
        whole = isinstance(self.max_passes, int | np.integer) and self.max_passes >= 0
        if not whole or not 0.5 < self.forgetting <= 1:
            raise ValueError(
                f"StreamedFactorization: max_passes={self.max_passes}, "
                f"forgetting={self.forgetting}; expected no negative number of passes, and "
                "forgetting above 0.5 and at most 1, where steps converge. Leave them out."
            )

    def fit(
        self,
        blocks: Iterable[Ratings],
        *,
        start: Factors | None = None,
        progress_bar: bool = True,
    ) -> Factors:
        """Go through a stream again and again until the ELBO stops rising.

        With ``start`` there are whole sweeps alone: steps would begin by forgetting it.

        Args:
            blocks: Ratings of some users after ratings of others, each block with labels of its
                own, such as `RatingStream` or `cut_by_user`; gone through ``max_passes`` times,
                once to count, and once for each whole sweep.
            start: Factors to go on from, matched by the labels of users and items: an earlier
                fit to a shorter stream, or to a part of it that fits in memory.
            progress_bar: Draw a bar, of passes.

        Returns:
            The factors. Their ``elbo`` holds one value a pass: estimates while there are steps,
            which may fall, and exact ones for the whole sweeps.

        Raises:
            ValueError: There are no ratings, the blocks cannot be gone through again, or
                ``start`` has features or other settings.
            TypeError: These are no blocks, or ``start`` is no fit.
            ModuleNotFoundError: numba is not installed.
        """
        if isinstance(blocks, Ratings | str) or not isinstance(blocks, Iterable):
            raise TypeError(
                f"StreamedFactorization.fit: got a {type(blocks).__name__}; expected blocks of "
                "ratings. Pass RatingStream(path), or cut_by_user(ratings, 10**6)."
            )
        if iter(blocks) is blocks:
            raise ValueError(
                f"StreamedFactorization.fit: blocks is a {type(blocks).__name__}, which can be "
                "gone through once; expected one that starts anew. Pass RatingStream(path), or a "
                "list."
            )
        require_numba(_CALLED)
        # The updates are compiled by numba, which need not be there for anything else.
        from ppl_ext.factorization.solver.stream_ascent import StreamAscent
        from ppl_ext.factorization.solver.stream_passes import Schedule, StreamPasses

        model, counts = self.model, count_ratings(blocks)
        begun = open_fit(
            _CALLED,
            model,
            counts.item_ids[:0],
            counts.item_ids,
            mean=counts.mean,
            spread=counts.spread,
            seed=np.random.SeedSequence(model.seed).spawn(1)[0],
            start=start,
        )
        steps = self.max_passes if start is None else 0
        schedule = Schedule(steps, self.forgetting, self.keep_users, model.tolerance)
        variances = expect_variances(model.num_factors, model.biases, counts.spread)
        known = None if start is None else start.posterior
        threads = model.num_threads or os.cpu_count() or 1
        with ThreadPoolExecutor(threads) as pool:
            run = pool.map if threads > 1 else map
            ascent = StreamAscent(model, counts, begun, variances, run)
            journey = StreamPasses(schedule, blocks, counts, ascent, known)
            log = drive(
                journey.advance,
                max_steps=steps + model.max_sweeps,
                rule=journey.judge,
                chunk=1,
                progress_bar=progress_bar,
                describe=f"stream, {model.num_factors} factors",
            )
        if log.interrupted and journey.elbo[steps:] == []:
            raise KeyboardInterrupt
        users = ascent.users if journey.users is None else journey.users
        posterior = replace(
            begun,
            users=replace(
                users, prior=ascent.users.prior, concentration=ascent.users.concentration
            ),
            items=ascent.items,
            noise_precision=ascent.noise_precision,
            sweeps=begun.sweeps + len(journey.elbo),
        )
        elbo = journey.elbo if start is None else [*start.elbo, *journey.elbo]
        return Factors(posterior, np.array(elbo), log)
