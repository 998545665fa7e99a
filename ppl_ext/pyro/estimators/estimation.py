"""Estimates of a gradient, many at once: to look at what an estimator does."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ppl_ext.estimators.arguments import check_count, check_function, refuse
from ppl_ext.pyro.estimators.estimator import AbstractEstimator
from ppl_ext.pyro.gumbel.logits import check_classes, read_logits

__all__ = ["GradientEstimate", "estimate_gradient", "second_moment"]


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
        The estimates.

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
    logits = _read_request("estimate_gradient", f, logits, estimator, num_draws)
    value, gradient = _differentiate(f, logits, estimator, num_draws, learn=False)
    return GradientEstimate(value.detach(), gradient)


def second_moment(
    f: Callable[[torch.Tensor], torch.Tensor],
    logits: torch.Tensor,
    estimator: AbstractEstimator,
    num_draws: int = 1,
) -> torch.Tensor:
    r"""Estimate the mean squared length of the gradient's estimates, to learn an estimator by.

    .. math:: E \lVert g \rVert^2 = \lVert E g \rVert^2 + \operatorname{tr} \operatorname{Var} g

    For an unbiased estimator the first term does not depend on its parameters: the derivative of
    this in the temperature and scale of ``REBAR``, or in the network of ``RELAX``, is that of the
    variance. Not for biased estimators, which it would push to vanishing gradients.

    Args:
        f: Function as in ``estimate_gradient``.
        logits: Unnormalised log-probabilities as there.
        estimator: Unbiased estimator whose parameters are to be learned.
        num_draws: Number of independent estimates; one is enough for an unbiased derivative.

    Returns:
        The second moment, summed over the batch; differentiable in the estimator's parameters.
        What ``f`` closes over is reached by its ``backward()``, too: ``torch.autograd.grad`` with
        the estimator's parameters leaves it alone.

    Raises:
        ValueError: As ``estimate_gradient``.

    Example:
        >>> import torch
        >>> from ppl_ext.pyro.estimators import REBAR
        >>> f = lambda z: ((z - 0.45) ** 2).sum((-2, -1))
        >>> for start in (0.0, 2.0):  # the best is between
        ...     scale = torch.tensor(start, requires_grad=True)
        ...     _ = torch.manual_seed(0)
        ...     second_moment(f, torch.zeros(1, 2), REBAR(0.5, scale), num_draws=1000).backward()
        ...     print(int(scale.grad.sign()))
        -1
        1

    References:
        Tucker, Mnih, Maddison, Lawson, Sohl-Dickstein (2017), REBAR: Low-Variance, Unbiased
        Gradient Estimates for Discrete Latent Variable Models, NeurIPS, arXiv:1703.07370.
    """
    logits = _read_request("second_moment", f, logits, estimator, num_draws)
    _, gradient = _differentiate(f, logits, estimator, num_draws, learn=True)
    return (gradient**2).sum() / num_draws


def _differentiate(f, logits, estimator, num_draws, learn):
    """Return values and gradients of independent surrogates, differentiable again to learn."""
    single = logits.dim() == 1
    table = (logits[None] if single else logits).detach()
    # The estimates are one more axis of the batch.
    table = table.expand(num_draws, *table.shape).clone().requires_grad_()
    integrand = (lambda z: f(z[..., 0, :])) if single else f
    with torch.enable_grad():
        value = estimator.surrogate(integrand, table)
    (gradient,) = torch.autograd.grad(value.sum(), table, create_graph=learn)
    return value, gradient.reshape(num_draws, *logits.shape)


def check_estimator(called, estimator) -> None:
    """Refuse what is no estimator, such as its class or its name."""
    if not isinstance(estimator, AbstractEstimator):
        raise refuse(
            called,
            f"the estimator is {estimator!r}",
            "an object of px.estimators",
            f"{called}(..., LeaveOneOut(4)).",
        )


def _read_request(called, f, logits, estimator, num_draws):
    """Check what estimates are made of, and return the logits."""
    check_function(called, f)
    check_estimator(called, estimator)
    check_count(called, "num_draws", num_draws, 1, f"{called}(..., num_draws=1).")
    logits = read_logits(called, None, logits, None)
    check_classes(called, logits, None)
    return logits
