"""Sweep after sweep from one start, until the ELBO has risen or held-out ratings say so."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ppl_ext.factorization.data.ratings import Ratings
from ppl_ext.factorization.fitting.first_state import expect_variances
from ppl_ext.factorization.model.posterior import Posterior
from ppl_ext.factorization.model.regression import Design
from ppl_ext.factorization.model.settings import ModelSettings
from ppl_ext.factorization.result.assessment import assess_ratings
from ppl_ext.factorization.result.factors import Factors
from ppl_ext.fitting.fit_log import FitLog
from ppl_ext.fitting.loop import drive

__all__ = ["CHECKPOINT", "climb_elbo"]

CHECKPOINT = "checkpoint"
"""Reason of factors that were written on the way."""

# Sweeps between two checkpoints.
_CHECKPOINT_EVERY = 5
# Sweeps in which ratings held out must have become likelier: they may stand still for one.
_PATIENCE = 3


def climb_elbo(
    settings: ModelSettings,
    posterior: Posterior,
    ratings: Ratings,
    *,
    spread: float,
    designs: Sequence[Design | None],
    held_out: Ratings | None,
    start: Factors | None,
    checkpoint: str | os.PathLike[str] | None,
    progress_bar: bool,
) -> Factors:
    """Sweep until it is enough.

    Args:
        settings: The settings.
        posterior: The start; its arrays are written.
        ratings: The ratings.
        spread: Their variance.
        designs: Standardised features of users and of items, or None.
        held_out: Ratings that say when it is enough; the ELBO does if None.
        start: The factors that it goes on from, if any. Those of a fit of the same ratings that
            was killed when it was at its end are returned as they are.
        checkpoint: File that the factors are written to on the way.
        progress_bar: Draw a bar.

    Returns:
        The factors.
    """
    # The sweeps are compiled by numba, which need not be there for anything else.
    from ppl_ext.factorization.solver.sweeps import Sweeper

    sweeper = Sweeper(
        ratings,
        settings,
        variances=expect_variances(settings.num_factors, settings.biases, spread),
        spread=spread,
        threads=settings.num_threads or os.cpu_count() or 1,
        designs=designs,
    )
    earlier = [] if start is None else list(start.elbo)
    resumed = start is not None and start.log.reason == CHECKPOINT
    enough = settings.tolerance * len(ratings)
    elbo = list(earlier)
    begun = time.perf_counter()

    def advance(steps: int) -> np.ndarray:
        nonlocal posterior
        posterior, bound, interrupted = sweeper.finish_sweep(posterior)
        elbo.append(bound)
        if interrupted:
            raise KeyboardInterrupt
        if checkpoint is not None and len(elbo) % _CHECKPOINT_EVERY == 0:
            seconds = time.perf_counter() - begun
            log = FitLog(-np.array(elbo), CHECKPOINT, False, seconds)
            Factors(posterior, np.array(elbo), log).save(checkpoint)
        return np.array([-bound])

    unlikely: list[float] = []

    def rule(losses: np.ndarray) -> str | None:
        if held_out is not None:
            unlikely.append(assess_ratings(posterior, held_out).nll)
            if len(unlikely) < 6 or unlikely[-1] < unlikely[-1 - _PATIENCE]:
                return None
            return f"the ratings held out became no likelier in {_PATIENCE} sweeps"
        # The first sweeps may climb slowly and then fast, while the weights rest.
        sweeps = len(losses) + (len(earlier) if resumed or has_ended() else 0)
        if sweeps < 6 or elbo[-1] - elbo[-2] > enough:
            return None
        if len(losses) == 1 and elbo[-1] < elbo[-2]:  # after a start with other ratings
            return None
        return f"the ELBO rises by less than {settings.tolerance:g} nats per rating and sweep"

    def has_ended() -> bool:
        """Whether the start was at its end, and its ratings are these."""
        flat = len(earlier) >= 6 and earlier[-1] - earlier[-2] <= enough
        return flat and len(elbo) == len(earlier) + 1 and 0 <= elbo[-1] - elbo[-2] <= enough

    try:
        log = drive(
            advance,
            max_steps=settings.max_sweeps,
            rule=rule,
            chunk=1,
            progress_bar=progress_bar,
            describe=f"CAVI, {settings.num_factors} factors",
        )
    finally:
        sweeper.close()
    if not elbo:  # interrupted before there was anything to keep
        raise KeyboardInterrupt
    if start is not None and held_out is None and log.converged and has_ended():
        return replace(start, log=replace(log, losses=-np.array(earlier[-1:])))
    # A sweep that Ctrl-C fell into was finished, and counts.
    log = replace(log, losses=-np.array(elbo[len(earlier) :]))
    return Factors(posterior, np.array(elbo), log)
