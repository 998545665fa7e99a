"""Logarithms of the simplex as a support, and the ways to it and from it."""

import math

import torch
from torch.distributions import biject_to, constraints, transform_to
from torch.distributions.transforms import Transform

from ppl_ext.pyro.gumbel.logits import widen

__all__ = ["LogRatioTransform", "log_simplex"]


class _LogSimplex(constraints.Constraint):
    """Vectors whose exponentials sum to one; ``-inf`` is allowed."""

    event_dim = 1

    def check(self, value):
        tolerance = 8 * torch.finfo(value.dtype).eps * (1 + math.log(value.shape[-1]))
        return widen(value).logsumexp(-1).abs() <= max(tolerance, 1e-6)


class _Logits(constraints.Constraint):
    """Vectors below ``+inf``, with ``-inf`` for classes that are ruled out."""

    event_dim = 1

    def check(self, value):
        return (value < torch.inf).all(-1)


class _RoundedSimplex(type(constraints.simplex)):
    """The simplex in half precision, where sums are rounded."""

    def check(self, value):
        error = (widen(value).sum(-1) - 1).abs()
        return (value >= 0).all(-1) & (error <= 4 * torch.finfo(value.dtype).eps)


log_simplex = _LogSimplex()
rounded_simplex = _RoundedSimplex()
logits_vector = _Logits()


MANY = 200  # classes over which the host's sums lose a digit, adding up one by one


def softmax(scores):
    """Return the softmax, its sum exact over many classes."""
    x = scores.softmax(-1)
    if x.shape[-1] <= MANY:
        return x
    return x + x.detach() * (1 - x.detach().sum(-1, keepdim=True))


def log_softmax(scores):
    """Return its logarithm, with the same care."""
    y = scores.log_softmax(-1)
    return y if y.shape[-1] <= MANY else y - y.detach().logsumexp(-1, keepdim=True)


class LogRatioTransform(Transform):
    r"""From log-ratios to the last class, to the log-simplex.

    .. math:: y = \log \mathrm{softmax}(r_1, \dots, r_{K-1}, 0)

    Densities on the log-simplex are densities of these log-ratios, so the log-Jacobian is zero.
    The host uses it for latent sites on the log-simplex.

    Example:
        >>> import torch
        >>> transform = LogRatioTransform()
        >>> y = transform(torch.tensor([1.0, -1.0]))
        >>> round(float(y.exp().sum()), 4), [round(r, 4) for r in transform.inv(y).tolist()]
        (1.0, [1.0, -1.0])
    """

    domain = constraints.real_vector
    codomain = log_simplex
    bijective = True

    def __eq__(self, other):
        return isinstance(other, LogRatioTransform)

    __hash__ = None

    def _call(self, x):
        return torch.nn.functional.pad(x, (0, 1)).log_softmax(-1)

    def _inverse(self, y):
        return y[..., :-1] - y[..., -1:]

    def log_abs_det_jacobian(self, x, y):
        """Return zero for each member of the batch."""
        return torch.zeros(x.shape[:-1], dtype=x.dtype, device=x.device)

    def forward_shape(self, shape):
        """Return the shape of the values: one class more."""
        return (*shape[:-1], shape[-1] + 1)

    def inverse_shape(self, shape):
        """Return the shape of the log-ratios: one class less."""
        return (*shape[:-1], shape[-1] - 1)


@biject_to.register(rounded_simplex)
def _as_the_simplex(constraint):
    return biject_to(constraints.simplex)


@biject_to.register(log_simplex)
@transform_to.register(log_simplex)
def _from_log_ratios(constraint):
    return LogRatioTransform()
