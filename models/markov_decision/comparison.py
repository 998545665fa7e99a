"""Estimates of the gradient beside the enumeration, and the ways of the policies."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.markov_decision.data import OPTIMUM, enumerate_gradients

__all__ = ["Comparison"]


@dataclass(frozen=True)
class Comparison:
    """Ways of weighing the score, beside one another.

    Attributes:
        estimates: By name, gradients at the policy that tosses a coin, each the mean over a
            minibatch of episodes: ``[batch, day, state, action]``.
        returns: By name, expected return of the policy after each step, ``[step]``.
    """

    estimates: Mapping[str, np.ndarray]
    returns: Mapping[str, np.ndarray]

    def variance(self, name: str) -> float:
        """Variance of one estimate, summed over all logits."""
        return float(self.estimates[name].var(0, ddof=1).sum())

    def worst_z(self, name: str) -> float:
        """Largest distance of the mean estimate from the enumeration, in standard errors."""
        estimates = self.estimates[name]
        truth, _ = enumerate_gradients(np.zeros(estimates.shape[1:]))
        errors = estimates.std(0, ddof=1) / np.sqrt(len(estimates))
        return float((np.abs(estimates.mean(0) - truth) / errors).max())

    def describe(self) -> str:
        """Return a line for each way of weighing, with its figures."""
        width = max(map(len, self.estimates))
        lines = [
            f"{'weight of the score':{width}}  worst z  variance  return  (best {OPTIMUM:.4f})"
        ]
        lines += [
            f"{name:{width}}  {self.worst_z(name):7.2f}  {self.variance(name):8.4f}  "
            f"{self.returns[name][-1]:6.4f}"
            for name in self.estimates
        ]
        return "\n".join(lines)
