"""Coordinate ascent with the words of a host's ``SVI``, but for the arrays of the host."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ppl_ext.factorization.data.ratings import Ratings
from ppl_ext.factorization.fitting.matrix_factorization import MatrixFactorization
from ppl_ext.factorization.result.bound import measure_bound
from ppl_ext.factorization.result.factors import Factors, open_factors
from ppl_ext.factorization.result.parameters import guide_parameters

__all__ = ["AbstractCAVI", "CAVIRunResult"]


@dataclass(frozen=True, eq=False)
class CAVIRunResult:
    """What ``CAVI.run`` returns.

    Args:
        params: Parameters of a ``FactorGuide``, arrays of the host.
        state: The factors.
        losses: ``[step]``, negative ELBO with the penalties of what is learned, in nats; an array
            of the host.

    Example:
        >>> from ppl_ext.factorization import MatrixFactorization, simulate_ratings
        >>> ratings = simulate_ratings(num_users=30, num_items=20, seed=0).ratings
        >>> state = MatrixFactorization(2).fit(ratings, progress_bar=False)
        >>> result = CAVIRunResult(guide_parameters(state.posterior), state, state.log.losses)
        >>> len(result.losses) == result.state.sweeps
        True
    """

    params: dict[str, Any]
    state: Factors
    losses: Any


@dataclass(frozen=True)
class AbstractCAVI(ABC):
    """Coordinate ascent for matrix factorization, called as an ``SVI`` is: init, update, run.

    A room adds ``init`` and ``run``, which begin with its own randomness.

    Args:
        settings: What is fitted.

    Example:
        >>> issubclass(AbstractCAVI, ABC)
        True
    """

    settings: MatrixFactorization

    @abstractmethod
    def _convert(self, values: np.ndarray, default_type: bool) -> Any:
        """Make an array of the host, of its default type or as precise as it can be."""

    def _init(
        self, seed: int, ratings: Ratings, user_features: Any, item_features: Any
    ) -> Factors:
        once = replace(self.settings, max_sweeps=1, num_starts=1, seed=seed)
        return once.fit(
            ratings, user_features=user_features, item_features=item_features, progress_bar=False
        )

    def _run(
        self,
        seed: int,
        num_steps: int,
        ratings: Ratings,
        user_features: Any,
        item_features: Any,
        progress_bar: bool,
        init_state: Factors | None,
    ) -> CAVIRunResult:
        limited = replace(self.settings, max_sweeps=num_steps, num_starts=1, seed=seed)
        state = limited.fit(
            ratings,
            start=init_state,
            progress_bar=progress_bar,
            user_features=user_features,
            item_features=item_features,
        )
        losses = self._convert(state.log.losses, False)
        return CAVIRunResult(self.get_params(state), state, losses)

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
            ratings,
            start=state,
            progress_bar=False,
            user_features=user_features,
            item_features=item_features,
        )
        return state, -float(state.elbo[-1])

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

    def get_params(self, state: Factors) -> dict[str, Any]:
        """Read the parameters of a ``FactorGuide``.

        Args:
            state: The state.

        Returns:
            The parameters by name, arrays of the host.
        """
        found = guide_parameters(open_factors("CAVI.get_params", state))
        return {name: self._convert(value, True) for name, value in found.items()}
