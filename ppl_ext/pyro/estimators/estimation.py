"""Estimates of a gradient, many at once: to look at what an estimator does."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ppl_ext.pyro.distributions.arguments import check_classes, read_logits
from ppl_ext.pyro.estimators.estimator import AbstractEstimator

__all__ = ["GradientEstimate", "estimate_gradient"]


@dataclass(frozen=True)
class GradientEstimate:
    """Independent estimates of an expectation and of its gradient.

    Attributes:
        value: Estimates of the expectation, with shape ``(draw, *batch)``.
        gradient: Estimates of its gradient in the logits, with shape ``(draw, *logits.shape)``.

    Example:
        >>> import torch
        >>> tuple(GradientEstimate(torch.zeros(2), torch.ones(2, 3)).gradient.shape)
        (2, 3)
    """

    value: torch.Tensor
    gradient: torch.Tensor


def estimate_gradient(
    f: Callable[[torch.Tensor], torch.Tensor],
    logits: torch.Tensor,
    estimator: AbstractEstimator,
    num_draws: int = 1,
) -> GradientEstimate:
    """Estimate an expectation over discrete variables, and its gradient in the logits.

    What ``f`` closes over is held fixed, logits among it. To train it as well, differentiate
    ``estimator.surrogate``.

    Args:
        f: Function of one-hot draws ``(*draws, *logits.shape)``, each member of the batch by
            itself, with values ``(*draws, *batch)``.
        logits: Unnormalised log-probabilities ``(*batch, variable, class)``, or ``(class,)``
            for a single variable; ``-inf`` rules a class out.
        estimator: How to estimate, such as ``LeaveOneOut()``.
        num_draws: Number of independent estimates.

    Returns:
        The estimates, without derivatives.

    Raises:
        ValueError: Logits that are NaN or +inf, or all -inf for a variable, or values of ``f`` of
            another shape than the draws.

    Example:
        >>> import torch
        >>> from ppl_ext.pyro.estimators import LeaveOneOut
        >>> _ = torch.manual_seed(0)
        >>> f = lambda z: (z * torch.arange(3.0)).sum((-2, -1))
        >>> estimates = estimate_gradient(f, torch.zeros(2, 3), LeaveOneOut(), num_draws=1000)
        >>> tuple(estimates.gradient.shape), abs(float(estimates.value.mean()) - 2) < 0.1
        ((1000, 2, 3), True)
    """
    logits = read_logits("estimate_gradient", None, logits, None)
    check_classes("estimate_gradient", logits, None)
    single = logits.dim() == 1
    table = (logits[None] if single else logits).detach()
    # The estimates are one more axis of the batch.
    table = table.expand(num_draws, *table.shape).clone().requires_grad_()
    integrand = (lambda z: f(z[..., 0, :])) if single else f
    with torch.enable_grad():
        value = estimator.surrogate(integrand, table)
    (gradient,) = torch.autograd.grad(value.sum(), table)
    return GradientEstimate(value.detach(), gradient.reshape(num_draws, *logits.shape))
