"""Coordinate ascent over all users and all items, and the bound it climbs."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from ppl_ext.factorization.data.ratings import Ratings
from ppl_ext.factorization.model.hyperparameters import WARM_UP, add_side, conclude_sweep
from ppl_ext.factorization.model.posterior import Posterior
from ppl_ext.factorization.model.regression import Design
from ppl_ext.factorization.model.settings import ModelSettings
from ppl_ext.factorization.model.side_posterior import Side
from ppl_ext.factorization.solver.adjacency import Adjacency
from ppl_ext.factorization.solver.side_update import Moments, update_side

__all__ = ["Sweeper"]


def regress(
    side: Side, moments: Moments, design: Design, relevance: bool
) -> tuple[Side, Moments, float]:
    """Regress the latent vectors of a side on its features.

    Args:
        side: The side.
        moments: Sums over it.
        design: Its features.
        relevance: Whether the relevances of features are learned.

    Returns:
        The side with its new offsets, the sums of what they leave unexplained, to which the
        prior is then fitted, and what the bound loses.
    """
    if side.regression is None:
        raise ValueError("regress: the side has no regression; expected one, as it has features.")
    means = side.means()
    regression, lost = side.regression.learn(design, means, side.prior, relevance)
    offsets = regression.offsets(design)
    crossed = means.T @ offsets
    kept = regression.coefficients.T @ (regression.relevance[:, None] * regression.coefficients)
    left = replace(
        moments,
        first=moments.first - offsets.sum(axis=0),
        second=moments.second - crossed - crossed.T + offsets.T @ offsets + kept,
    )
    side = replace(side, regression=regression, offsets=offsets.astype(side.summary.dtype))
    return side, left, lost


class Sweeper:
    """Climbs the ELBO for one table of ratings.

    Args:
        ratings: The ratings.
        settings: What priors and noise may learn.
        variances: ``[dim]``, what is expected of latent vectors before any rating is seen.
        spread: Variance of the ratings.
        threads: Number of threads.
        designs: Standardised features of users and of items, or None.
    """

    def __init__(
        self,
        ratings: Ratings,
        settings: ModelSettings,
        *,
        variances: np.ndarray,
        spread: float,
        threads: int,
        designs: Sequence[Design | None] = (None, None),
    ):
        self._users = Adjacency.by_user(ratings)
        self._items = Adjacency.by_item(ratings)
        self._priors = settings.user_prior, settings.item_prior
        self._designs = designs
        self._noise = settings.noise
        self._variances = variances
        self._spread = spread
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self._conductor = ThreadPoolExecutor(1)

    def finish_sweep(self, state: Posterior) -> tuple[Posterior, float, bool]:
        """Sweep, and let Ctrl-C wait for the end, since half a sweep has no ELBO.

        Args:
            state: Where to start; its arrays are written.

        Returns:
            The new state, its ELBO, and whether Ctrl-C was pressed.
        """
        interrupted = False
        future = self._conductor.submit(self.sweep, state)
        while True:
            try:
                return *future.result(), interrupted
            except KeyboardInterrupt:
                interrupted = True

    def sweep(self, state: Posterior) -> tuple[Posterior, float]:
        """Update all users, all items, and then noise and priors.

        Args:
            state: Where to start; its arrays are written.

        Returns:
            The new state and its ELBO in nats, less the penalties of what is learned.
        """
        run = self._pool.map if self._pool else map
        tau, center = state.noise_precision, state.center

        def update(side: Side, other: Side, adjacency: Adjacency) -> tuple[Side, Moments]:
            return update_side(
                side,
                other,
                adjacency,
                center=center,
                noise_precision=tau,
                bias=state.biases,
                diagonal=state.diagonal,
                run=run,
            )

        users, user_moments = update(state.users, state.items, self._users)
        items, item_moments = update(state.items, users, self._items)
        sides, sums, lost = [], [], 0.0
        for side, moments, adjacency, design in zip(
            (users, items),
            (user_moments, item_moments),
            (self._users, self._items),
            self._designs,
            strict=True,
        ):
            if design is not None:
                side, moments, more = regress(side, moments, design, state.sweeps >= WARM_UP)
                lost += more
            sides.append(side)
            sums.append(
                add_side(side, adjacency.counts, moments.first, moments.second, moments.log_det)
            )
        done = conclude_sweep(
            (sums[0], sums[1]),
            count=len(self._users.values),
            error=item_moments.error,
            sweeps=state.sweeps,
            noise_precision=tau,
            concentrations=(users.concentration, items.concentration),
            kinds=self._priors,
            noise=self._noise,
            variances=self._variances,
            spread=self._spread,
            bias=state.biases,
        )
        users, items = (
            replace(side, prior=prior, concentration=concentration)
            for side, prior, concentration in zip(
                sides, done.priors, done.concentrations, strict=True
            )
        )
        swept = replace(
            state,
            users=users,
            items=items,
            noise_precision=done.noise_precision,
            sweeps=state.sweeps + 1,
        )
        return swept, done.bound - lost

    def close(self) -> None:
        """End the threads."""
        self._conductor.shutdown()
        if self._pool:
            self._pool.shutdown()
