"""Straight through to the first and to the second order."""

from dataclasses import dataclass

import torch

from ppl_ext.pyro.estimators.estimator import AbstractPathEstimator
from ppl_ext.pyro.estimators.integrand import check_temperature
from ppl_ext.pyro.estimators.one_hot_draws import draw_through, softmax_product
from ppl_ext.pyro.gumbel.noise import plain_tensors
from ppl_ext.pyro.gumbel.row_blocks import pieces

__all__ = ["ReinMax", "StraightThrough"]


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


@dataclass(frozen=True)
class ReinMax(AbstractPathEstimator):
    r"""One-hot draws with a gradient that is exact for quadratic functions of one variable.

    .. math:: \partial z := \left(2 J\left(\tfrac{p_\tau + z}2\right) - \tfrac12 J(p)\right)
        \partial \theta, \quad J(p) = \mathrm{diag}(p) - p p^\top, \quad
        p_\tau = \mathrm{softmax}(\theta / \tau)

    The first choice where ``f`` can be evaluated only once. Not where its derivative says little
    about its values, as of a step: nothing that passes through the draw sees those.

    Args:
        temperature: Positive; exact at 1, and of less variance and some bias at 1 to 1.3. Not
            below 1.

    Raises:
        ValueError: A temperature that is not positive.

    Example:
        >>> import torch
        >>> from ppl_ext.pyro.estimators import estimate_gradient
        >>> _ = torch.manual_seed(0)
        >>> f = lambda z: (z @ torch.tensor([0.0, 1.0, 4.0])) ** 2
        >>> estimates = estimate_gradient(f, torch.zeros(3), ReinMax(), num_draws=20_000)
        >>> exact = torch.tensor([-17.0, -14.0, 31.0]) / 9
        >>> bool((estimates.gradient.mean(0) - exact).abs().max() < 0.1)
        True

    References:
        Liu, Dong, Liu, Yu, Gao (2023), Bridging Discrete and Backpropagation: Straight-Through
        and Beyond, NeurIPS, arXiv:2304.08612.
    """

    temperature: float = 1.0

    def __post_init__(self) -> None:
        check_temperature("ReinMax", self.temperature)

    def sample(self, logits: torch.Tensor, sample_shape: tuple[int, ...] = ()) -> torch.Tensor:
        """Draw one-hot values that carry the estimator's gradient."""
        return draw_through("ReinMax", logits, sample_shape, self._multiply)

    def _multiply(self, logits, index, vector):
        return reinmax_product(logits, index, vector, self.temperature)


def reinmax_product(logits, index, vector, temperature):
    """Multiply a vector by ReinMax's matrix for the draw of that class."""
    arguments = logits, index.unsqueeze(-1), vector
    if torch.is_grad_enabled() or not plain_tensors():
        return _multiply(*arguments, temperature)
    product = torch.empty_like(vector, memory_format=torch.contiguous_format)
    for *piece, out in pieces(vector.shape, *arguments, product):
        _multiply(*piece, temperature, out)
    return product


def _multiply(logits, chosen, vector, temperature, out=None):
    probs = logits.softmax(-1)
    at_chosen = vector.gather(-1, chosen)
    if isinstance(temperature, float | int) and temperature == 1:
        # The terms of both matrices that cancel are left out.
        mean = torch.linalg.vecdot(probs, vector).unsqueeze(-1)
        product = torch.mul(probs, 0.5 * (vector - at_chosen), out=out)
        return product.scatter_add_(-1, chosen, 0.5 * (at_chosen - mean))
    tempered = (logits / temperature).softmax(-1)
    by_probs, by_tempered = probs * vector, tempered * vector
    mean = by_probs.sum(-1, keepdim=True)
    middle = 0.5 * (by_tempered.sum(-1, keepdim=True) + at_chosen)
    product = torch.sub(by_tempered, by_probs, alpha=0.5)
    product = product.addcmul(tempered, -middle)
    product = torch.addcmul(product, probs, 0.5 * mean, out=out)
    return product.scatter_add_(-1, chosen, at_chosen - middle)
