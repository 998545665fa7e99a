"""The score function with the other draws as its baseline."""

from dataclasses import dataclass

import torch

from ppl_ext.pyro.estimators.arguments import check_count
from ppl_ext.pyro.estimators.estimator import AbstractScoreEstimator
from ppl_ext.pyro.estimators.one_hot_draws import score

__all__ = ["LeaveOneOut"]


@dataclass(frozen=True)
class LeaveOneOut(AbstractScoreEstimator):
    r"""Score function of several draws, the baseline of each the mean of the others.

    .. math:: \frac 1m \sum_i \Bigl(f(z_i) - \frac 1{m-1} \sum_{j \neq i} f(z_j)\Bigr)
        \nabla \log q(z_i)

    Unbiased, with nothing to tune, and the first to try where ``f`` can be evaluated a few times.
    Where it can be evaluated only once, use an estimator whose gradient passes through the draw.

    Args:
        num_draws: Draws for one estimate, two at least.

    Raises:
        ValueError: Fewer than two draws, which leave nothing to compare with.

    Example:
        >>> import torch
        >>> from ppl_ext.pyro.estimators import estimate_gradient
        >>> _ = torch.manual_seed(0)
        >>> f = lambda z: z @ torch.tensor([0.0, 1.0, 4.0])
        >>> estimates = estimate_gradient(f, torch.zeros(3), LeaveOneOut(4), num_draws=20_000)
        >>> [round(each, 1) for each in estimates.gradient.mean(0).tolist()]  # -5/9, -2/9, 7/9
        [-0.6, -0.2, 0.8]

    References:
        Kool, van Hoof, Welling (2019), Buy 4 REINFORCE Samples, Get a Baseline for Free!,
        ICLR workshop on Deep Reinforcement Learning Meets Structured Prediction.
    """

    num_draws: int = 4

    def __post_init__(self) -> None:
        check_count(
            "LeaveOneOut",
            "num_draws",
            self.num_draws,
            2,
            "LeaveOneOut(num_draws=4), or for a single draw ScoreFunction().",
        )

    def combine(self, values: torch.Tensor, log_probs: torch.Tensor) -> torch.Tensor:
        """Return the surrogate of draws that have been made."""
        weights = (values - values.mean(0)) / (self.num_draws - 1)
        return values.mean(0) + score(weights, log_probs).sum(0)
