"""Coordinate ascent with the words of the host's ``SVI``."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from ppl_ext.factorization import Factors, MatrixFactorization, Ratings
from ppl_ext.factorization.model.parameters import guide_parameters
from ppl_ext.factorization.result.bound import measure_bound

__all__ = ["CAVI", "CAVIRunResult"]


@dataclass(frozen=True, eq=False)
class CAVIRunResult:
    """What ``CAVI.run`` returns.

    Args:
        params: Parameters of a `FactorGuide`.
        state: The factors.
        losses: ``[step]``, negative ELBO with the penalties of what is learned, in nats.

    Example:
        >>> from ppl_ext.factorization import MatrixFactorization, simulate_ratings
        >>> ratings = simulate_ratings(num_users=30, num_items=20, seed=0).ratings
        >>> cavi = CAVI(MatrixFactorization(2))
        >>> result = cavi.run(jax.random.key(0), 10, ratings, progress_bar=False)
        >>> bool((jnp.diff(result.losses) < 0).all())
        True
    """

    params: dict[str, jax.Array]
    state: Factors
    losses: jax.Array


@dataclass(frozen=True)
class CAVI:
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

    settings: MatrixFactorization

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
        once = replace(self.settings, max_sweeps=1, restarts=1, seed=_seed_of(rng_key))
        return once.fit(
            ratings, user_features=user_features, item_features=item_features, progress_bar=False
        )

    def update(
        self,
        state: Factors,
        ratings: Ratings,
        *,
        user_features: Any = None,
        item_features: Any = None,
    ) -> tuple[Factors, float]:
        """Make one sweep.

        Args:
            state: Where to start.
            ratings: The ratings.
            user_features: Features of all users, as ``MatrixFactorization.fit`` takes them.
            item_features: The same of items.

        Returns:
            The new state, and its loss: the negative ELBO with the penalties of what is learned,
            in nats.
        """
        once = replace(self.settings, max_sweeps=1)
        state = once.fit(
            ratings, start=state, progress_bar=False,
            user_features=user_features, item_features=item_features,
        )  # fmt: skip
        return state, -float(state.elbo[-1])

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
        seed = _seed_of(rng_key)
        limited = replace(self.settings, max_sweeps=num_steps, restarts=1, seed=seed)
        state = limited.fit(
            ratings, start=init_state, progress_bar=progress_bar,
            user_features=user_features, item_features=item_features,
        )  # fmt: skip
        losses = jnp.asarray(state.log.losses)
        return CAVIRunResult(self.get_params(state), state, losses)

    def evaluate(
        self,
        state: Factors,
        ratings: Ratings,
        *,
        user_features: Any = None,
        item_features: Any = None,
    ) -> float:
        """Measure the negative ELBO of a state, without the penalties of what is learned.

        Args:
            state: The state.
            ratings: The ratings.
            user_features: Features of all users, as ``MatrixFactorization.fit`` takes them.
            item_features: The same of items.

        Returns:
            What the host's ``Trace_ELBO`` estimates for the same factors, exactly, in nats.
        """
        bound = measure_bound(
            state, ratings, user_features=user_features, item_features=item_features
        )
        return -bound.total

    def get_params(self, state: Factors) -> dict[str, jax.Array]:
        """Read the parameters of a `FactorGuide`.

        Args:
            state: The state.

        Returns:
            The parameters by name.
        """
        return {
            name: jnp.asarray(value, dtype=jnp.result_type(float))
            for name, value in guide_parameters(state).items()
        }


def _seed_of(rng_key: jax.Array) -> int:
    return int(jax.random.bits(rng_key))
