"""The straight-through estimator."""

from dataclasses import dataclass

import torch

from ppl_ext.pyro.estimators.estimator import AbstractPathEstimator
from ppl_ext.pyro.estimators.one_hot_paths import draw_through, softmax_product

__all__ = ["StraightThrough"]


@dataclass(frozen=True)
class StraightThrough(AbstractPathEstimator):
    r"""One-hot draws with the gradient of the probabilities.

    .. math:: z = \text{one-hot}(I), \quad \partial z := \partial\, \mathrm{softmax}(\theta)

    Of small variance, and biased unless ``f`` is linear: ``ReinMax`` costs no more and is right
    to the second order.

    Example:
        >>> import torch
        >>> from ppl_ext.pyro.estimators import estimate_gradient
        >>> _ = torch.manual_seed(0)
        >>> f = lambda z: z @ torch.tensor([0.0, 1.0, 4.0])
        >>> estimates = estimate_gradient(f, torch.zeros(3), StraightThrough())
        >>> [round(each, 4) for each in estimates.gradient[0].tolist()]  # f is linear: exact
        [-0.5556, -0.2222, 0.7778]

    References:
        Bengio, Leonard, Courville (2013), Estimating or Propagating Gradients Through Stochastic
        Neurons for Conditional Computation, arXiv:1308.3432.
    """

    def sample(self, logits: torch.Tensor, sample_shape: tuple[int, ...] = ()) -> torch.Tensor:
        """Draw one-hot values that carry the estimator's gradient."""
        return draw_through("StraightThrough", logits, sample_shape, self._multiply)

    def _multiply(self, logits, index, vector):
        return softmax_product(logits.softmax(-1), vector)
