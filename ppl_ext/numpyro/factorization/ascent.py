"""Coordinate ascent with the words of the host's ``SVI``."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ppl_ext.factorization import Factors, Ratings
from ppl_ext.factorization.fitting.cavi import AbstractCAVI, CAVIRunResult

__all__ = ["CAVI", "CAVIRunResult"]


@dataclass(frozen=True)
class CAVI(AbstractCAVI):
    """Coordinate ascent for matrix factorization, called as an ``SVI`` is: init, update, run.

    A step is a sweep over all users and all items, and a state is the factors themselves: a frozen
    value, which every update leaves as it was. Not the shortest way to fitted factors, which is
    ``settings.fit(ratings)``.

    Args:
        settings: What is fitted.

    Example:
        >>> from ppl_ext.factorization import MatrixFactorization, simulate_ratings
        >>> ratings = simulate_ratings(num_users=30, num_items=20, seed=0).ratings
        >>> cavi = CAVI(MatrixFactorization(2))
        >>> state = cavi.init(jax.random.key(0), ratings)
        >>> before = cavi.evaluate(state, ratings)
        >>> state, loss = cavi.update(state, ratings)
        >>> state.sweeps, cavi.evaluate(state, ratings) < before
        (2, True)
    """

    def init(
        self,
        rng_key: jax.Array,
        ratings: Ratings,
        *,
        user_features: Any = None,
        item_features: Any = None,
    ) -> Factors:
        """Start at random, and make the first sweep: before it there is no ELBO.

        Args:
            rng_key: Random key; it takes the place of the settings' seed.
            ratings: The ratings.
            user_features: Features of all users, as ``MatrixFactorization.fit`` takes them.
            item_features: The same of items.

        Returns:
            The state.
        """
        return self._init(_seed_of(rng_key), ratings, user_features, item_features)

    def run(
        self,
        rng_key: jax.Array,
        num_steps: int,
        ratings: Ratings,
        *,
        user_features: Any = None,
        item_features: Any = None,
        progress_bar: bool = True,
        init_state: Factors | None = None,
    ) -> CAVIRunResult:
        """Make many sweeps; fewer where the settings' rule says that the ELBO has stopped rising.

        Args:
            rng_key: Random key; it takes the place of the settings' seed.
            num_steps: The limit.
            ratings: The ratings.
            user_features: Features of all users, as ``MatrixFactorization.fit`` takes them.
            item_features: The same of items.
            progress_bar: Draw a bar where there is a terminal.
            init_state: Where to start; as ``init`` does if None.

        Returns:
            Parameters, state and losses.
        """
        return self._run(
            _seed_of(rng_key),
            num_steps,
            ratings,
            user_features,
            item_features,
            progress_bar,
            init_state,
        )

    def _convert(self, values: np.ndarray, default_type: bool) -> jax.Array:
        return jnp.asarray(values, dtype=jnp.result_type(float) if default_type else None)


def _seed_of(rng_key: jax.Array) -> int:
    return int(jax.random.bits(rng_key))
