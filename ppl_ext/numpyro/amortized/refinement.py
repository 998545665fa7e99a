"""Posteriors of rows that are fitted to each row, from the encoder's answers on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
import numpyro.distributions as dist

from ppl_ext.amortization.gap import AmortizationGap, find_moved, measure_gap
from ppl_ext.amortization.refusals import refuse_ties
from ppl_ext.numpyro.amortized.gaussians import Change
from ppl_ext.numpyro.amortized.posterior import RowPosterior
from ppl_ext.numpyro.amortized.refinement_programs import (
    RefinementPrograms,
    RefinementSettings,
    Rows,
    compile_refinement,
)
from ppl_ext.numpyro.tracing.bound_model import BoundModel
from ppl_ext.numpyro.tracing.rng_keys import check_rng_key

__all__ = ["RefinedRows", "refine_rows"]

_BATCH_FLOATS = 1_000_000  # of the coordinates of a batch of draws


@dataclass(frozen=True, eq=False, repr=False)
class RefinedRows:
    """Posteriors of rows that were fitted to each row, as ``AutoAmortized.refine`` gives them.

    Args:
        posterior: Of the rows, and of what they share, which is the guide's.
        gap: What the encoder's answers lost against it.
    """

    posterior: RowPosterior
    gap: AmortizationGap

    def __repr__(self) -> str:
        return f"RefinedRows({self.gap!r})"

    def local_posterior(self) -> dist.Distribution:
        """That of the rows on unconstrained space, as the guide's ``local_posterior``."""
        return self.posterior.distribution

    def sample_posterior(
        self, rng_key: jax.Array, sample_shape: tuple[int, ...] = ()
    ) -> dict[str, jax.Array]:
        """Draw every latent site.

        Args:
            rng_key: Random key.
            sample_shape: Shape of the draws.

        Returns:
            ``{site: array[*sample_shape, ...]}``.
        """
        line = "refined.sample_posterior(jax.random.key(0))"
        check_rng_key("RefinedRows.sample_posterior", rng_key, line)
        return self.posterior.sample(rng_key, sample_shape)

    def median(self) -> dict[str, jax.Array]:
        """Median of every latent site, ``{site: array}``."""
        return self.posterior.find_median()

    def quantiles(self, quantiles: Sequence[float]) -> dict[str, jax.Array]:
        """Quantiles of every latent site.

        Args:
            quantiles: Probabilities between 0 and 1.

        Returns:
            ``{site: array[quantile, ...]}``.
        """
        return self.posterior.find_quantiles(quantiles)


def refine_rows(
    rng_key: jax.Array,
    posterior: RowPosterior,
    bound: BoundModel,
    params: Mapping[str, Any],
    settings: RefinementSettings,
    num_draws: int,
) -> RefinedRows:
    """Fit the posterior of each row from the encoder's answer on, and say what it gains.

    Args:
        rng_key: Random key.
        posterior: The encoder's answers.
        bound: The model bound to the rows.
        params: Its parameters, and those of the guide.
        settings: How to fit.
        num_draws: Draws of the bounds.
    """
    programs = compile_refinement(bound.call, posterior.layout, settings)
    given = Rows(bound.arrays, dict(params), posterior.local, posterior.shared)
    first, fit_key, gap_key = jax.random.split(rng_key, 3)
    refuse_ties(posterior.layout, bool(programs.ties(first, given)))
    change = programs.fit(fit_key, given)
    refined = replace(posterior, local=posterior.local.moved(change))
    moved = find_moved(
        map(np.asarray, change.values()),
        step_size=settings.step_size,
        max_steps=settings.max_steps,
    )
    batches = _compare(gap_key, programs, given, change, num_draws)
    return RefinedRows(refined, measure_gap(posterior.layout.plate, batches, moved))


def _compare(
    rng_key: jax.Array, programs: RefinementPrograms, given: Rows, change: Change, num_draws: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Terms of both bounds, ``[draw, row]``, a batch at a time."""
    keys = jax.random.split(rng_key, num_draws)
    coordinates = max(1, int(np.prod(given.local.loc.shape)))
    size = max(1, min(num_draws, _BATCH_FLOATS // coordinates))
    for start in range(0, num_draws, size):
        before, after = programs.compare(keys[start : start + size], given, change)
        yield np.asarray(before), np.asarray(after)
