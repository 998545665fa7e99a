"""Posteriors of rows that are fitted to each row, from the encoder's answers on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax

from ppl_ext.amortization.gap import AmortizationGap, find_moved, measure_gap
from ppl_ext.numpyro.amortized.framed_flows import RowFlow
from ppl_ext.numpyro.amortized.gaussians import Gaussian
from ppl_ext.numpyro.amortized.posterior import RowPosterior
from ppl_ext.numpyro.amortized.row_terms import RowTerms
from ppl_ext.numpyro.tracing.rng_keys import check_rng_key

__all__ = ["RefinedRows", "refine_rows"]

_BATCH_FLOATS = 1_000_000  # of the coordinates of a batch of draws
_STILL = 0.01  # nats for a standard deviation, below which a slope moves little


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
    terms: RowTerms,
    *,
    max_steps: int,
    step_size: float,
    num_particles: int,
    num_draws: int,
) -> RefinedRows:
    """Fit the posterior of each row from the encoder's answer on, and say what it gains.

    Args:
        rng_key: Random key.
        posterior: The encoder's answers.
        terms: The model.
        max_steps: Steps of Adam, whose size falls to a hundredth.
        step_size: The first of them, in standard deviations of the encoder's answer.
        num_particles: Draws of a gradient.
        num_draws: Draws of the bounds.
    """
    base, shared = posterior.local, posterior.shared

    def draw_shared(key):
        return None if shared is None else shared.distribution.sample(key)

    def lose(change, key):
        shared_key, local_key = jax.random.split(key)
        z, _ = base.moved(change).push(jax.random.normal(local_key, base.loc.shape))
        # The density of a draw is that of a held posterior: no noise is left where it is exact.
        log_q = base.moved(jax.lax.stop_gradient(change)).log_prob(z)
        return (log_q - terms.evaluate(draw_shared(shared_key), z)[0]).sum()

    def lose_all(change, key):
        return jax.vmap(lose, (None, 0))(change, jax.random.split(key, num_particles)).mean()

    rate = optax.exponential_decay(step_size, max_steps, 0.01)
    adam = optax.adam(rate, b1=0.8, b2=0.99, eps=_STILL)

    @jax.jit
    def fit(key):
        def step(carry, key):
            change, state = carry
            # A row that cannot be scored stands still and leaves the others alone.
            slope = jax.tree.map(
                lambda g: jnp.where(jnp.isfinite(g), g, 0.0), jax.grad(lose_all)(change, key)
            )
            move, state = adam.update(slope, state)
            return (optax.apply_updates(change, move), state), None

        start = base.start_change()
        keys = jax.random.split(key, max_steps)
        return jax.lax.scan(step, (start, adam.init(start)), keys)[0][0]

    first, fit_key, gap_key = jax.random.split(rng_key, 3)
    # Not at the mode, where what ties rows together may have no slope.
    somewhere, _ = base.push(jax.random.normal(first, base.loc.shape))
    terms.refuse_ties(draw_shared(first), somewhere)
    change = fit(fit_key)
    refined = base.moved(change)
    moved = find_moved(map(np.asarray, change.values()), step_size=step_size, max_steps=max_steps)
    batches = _compare(gap_key, posterior, refined, terms, num_draws)
    gap = measure_gap(posterior.layout.plate, batches, moved)
    return RefinedRows(replace(posterior, local=refined), gap)


def _compare(
    rng_key: jax.Array,
    posterior: RowPosterior,
    refined: Gaussian | RowFlow,
    terms: RowTerms,
    num_draws: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Terms of both bounds, ``[draw, row]``, a batch at a time."""
    shape = posterior.local.loc.shape

    def one(key) -> tuple[Any, Any]:
        shared_key, local_key = jax.random.split(key)
        shared = posterior.shared and posterior.shared.distribution.sample(shared_key)
        e = jax.random.normal(local_key, shape)
        found = []
        for local in (posterior.local, refined):
            z, log_q = local.push(e)
            found.append(terms.evaluate(shared, z)[0] - log_q)
        return found[0], found[1]

    many = jax.jit(jax.vmap(one))
    keys = jax.random.split(rng_key, num_draws)
    size = max(1, min(num_draws, _BATCH_FLOATS // max(1, int(np.prod(shape)))))
    for start in range(0, num_draws, size):
        yield many(keys[start : start + size])
