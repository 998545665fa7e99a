"""Relaxed draws, and one-hot draws with the gradient of relaxed ones."""

from dataclasses import dataclass

import torch

from ppl_ext.estimators.arguments import refuse
from ppl_ext.pyro.estimators.estimator import AbstractPathEstimator
from ppl_ext.pyro.estimators.integrand import check_temperature
from ppl_ext.pyro.estimators.one_hot_draws import read_path_logits, to_one_hot
from ppl_ext.pyro.gumbel.categorical_draws import draw_class, straight_through
from ppl_ext.pyro.gumbel.logits import widen
from ppl_ext.pyro.gumbel.noise import gumbel_noise
from ppl_ext.pyro.gumbel.simplex import softmax

__all__ = ["GappedStraightThrough", "GumbelSoftmax", "StraightThroughGumbelSoftmax"]


@dataclass(frozen=True)
class GumbelSoftmax(AbstractPathEstimator):
    r"""Relaxed draws: the function is evaluated inside the simplex, not at its corners.

    .. math:: x = \mathrm{softmax}\left((\theta + G) / \tau\right)

    Value and gradient are both those of the relaxed problem: of less bias as the temperature
    falls, and of more variance. Not where ``f`` has a meaning at one-hot values alone.

    Args:
        temperature: Positive; usual are 0.3 to 1.

    Raises:
        ValueError: A temperature that is not positive.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> x = GumbelSoftmax(0.5).sample(torch.zeros(3), (1000,))
        >>> round(float(x.sum(-1).mean()), 4), bool((x.amax(-1) < 1).any())
        (1.0, True)

    References:
        Jang, Gu, Poole (2017), Categorical Reparameterization with Gumbel-Softmax, ICLR,
        arXiv:1611.01144.
    """

    temperature: float = 0.5

    def __post_init__(self) -> None:
        check_temperature("GumbelSoftmax", self.temperature)

    def sample(self, logits: torch.Tensor, sample_shape: tuple[int, ...] = ()) -> torch.Tensor:
        """Draw relaxed values that carry the estimator's gradient."""
        logits = read_path_logits("GumbelSoftmax", logits)
        scores = _perturb(logits, sample_shape)
        return softmax(scores / self.temperature).to(logits.dtype)


@dataclass(frozen=True)
class StraightThroughGumbelSoftmax(AbstractPathEstimator):
    r"""One-hot draws with the gradient of the relaxed draws they come from.

    .. math:: z = \text{one-hot}\left(\arg\max_k (\theta_k + G_k)\right), \quad
        \partial z := \partial\, \mathrm{softmax}\left((\theta + G) / \tau\right)

    The usual hard Gumbel-softmax. ``GumbelRao`` has the same bias with less variance, and
    ``ReinMax`` mostly less of both.

    Args:
        temperature: Positive; usual are 0.3 to 1.

    Raises:
        ValueError: A temperature that is not positive.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> logits = torch.zeros(3, requires_grad=True)
        >>> z = StraightThroughGumbelSoftmax(0.5).sample(logits)
        >>> (z @ torch.arange(3.0)).backward()
        >>> sorted(z.tolist()), abs(float(logits.grad.sum())) < 1e-6
        ([0.0, 0.0, 1.0], True)

    References:
        Jang, Gu, Poole (2017), Categorical Reparameterization with Gumbel-Softmax, ICLR,
        arXiv:1611.01144.
    """

    temperature: float = 0.5

    def __post_init__(self) -> None:
        check_temperature("StraightThroughGumbelSoftmax", self.temperature)

    def sample(self, logits: torch.Tensor, sample_shape: tuple[int, ...] = ()) -> torch.Tensor:
        """Draw one-hot values that carry the estimator's gradient."""
        logits = read_path_logits("StraightThroughGumbelSoftmax", logits)
        scores = _perturb(logits, sample_shape)
        # The largest score, not the largest of the softmax, where rounding makes ties.
        hard = to_one_hot(scores.argmax(-1), logits)
        return straight_through(hard, softmax(scores / self.temperature).to(logits.dtype))


@dataclass(frozen=True)
class GappedStraightThrough(AbstractPathEstimator):
    r"""One-hot draws with the gradient of a softmax that the draw is made to lead.

    .. math:: \partial z := \partial\, \mathrm{softmax}\left((\theta + m(z)) / \tau\right)

    The shift :math:`m` has no gradient: it lifts the class drawn to the largest logit and lowers
    others that come within the gap of it. Of little variance, as no noise beyond the draw is
    spent; its bias is that of ``StraightThroughGumbelSoftmax`` or smaller. Not for temperatures
    far below 1, where the gradient vanishes.

    Args:
        temperature: Positive.
        gap: Least lead of the class drawn, or None for one that fits its probability,
            :math:`-\log(1 - p) / p`.

    Raises:
        ValueError: A temperature that is not positive, or a negative gap.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> logits = torch.zeros(2, requires_grad=True)
        >>> z = GappedStraightThrough(gap=1.0).sample(logits)
        >>> z[0].backward()
        >>> lead = torch.tensor(1.0).sigmoid()  # of the class drawn, whichever it is
        >>> bool(torch.isclose(logits.grad[0], lead * (1 - lead)))
        True

    References:
        Fan, Chi, Rudnicky, Ramadge (2022), Training Discrete Deep Generative Models via Gapped
        Straight-Through Estimator, ICML, arXiv:2206.07235.
    """

    temperature: float = 1.0
    gap: float | None = 1.0

    def __post_init__(self) -> None:
        check_temperature("GappedStraightThrough", self.temperature)
        if self.gap is not None and not self.gap >= 0:
            raise refuse(
                "GappedStraightThrough",
                f"gap is {self.gap}",
                "a number that is not negative, or None",
                "GappedStraightThrough(gap=1.0).",
            )

    def sample(self, logits: torch.Tensor, sample_shape: tuple[int, ...] = ()) -> torch.Tensor:
        """Draw one-hot values that carry the estimator's gradient."""
        logits = read_path_logits("GappedStraightThrough", logits)
        index = draw_class(logits, tuple(sample_shape))
        hard = to_one_hot(index, logits)
        wide = widen(logits)
        fixed = wide.detach()
        top = fixed.amax(-1, keepdim=True)
        gap = self.gap
        if gap is None:
            log_prob = fixed.log_softmax(-1).expand(hard.shape).gather(-1, index.unsqueeze(-1))
            tiny = torch.finfo(fixed.dtype).eps
            prob = log_prob.exp().clamp(tiny, 1 - tiny)
            gap = -torch.log1p(-prob) / prob
        chosen = hard > 0
        shift = torch.where(chosen, top - fixed, -(fixed - top + gap).clamp(min=0))
        soft = ((wide + shift) / self.temperature).softmax(-1).to(logits.dtype)
        return straight_through(hard, soft)


def _perturb(logits, sample_shape):
    wide = widen(logits)
    shape = (*sample_shape, *wide.shape)
    return wide + gumbel_noise(shape, dtype=wide.dtype, device=wide.device)
