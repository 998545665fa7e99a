"""Sums of products in log space, as a backend of the host's contractions.

The host's own exponentiates each factor by itself, which loses a sum whose factors have their
peaks apart, and ``torch.func.vmap`` cannot follow its logarithm.
"""

import torch
from pyro.ops.einsum.util import Tensordot
from pyro.ops.rings import LogRing

__all__ = ["LogSums", "einsum", "sum_exponentials", "tensordot", "transpose"]


class LogSums(LogRing):
    """The host's ring of log densities, on the sums of this module."""

    _backend = __name__


def einsum(equation: str, *operands: torch.Tensor) -> torch.Tensor:
    """Sum of products, all in logs.

    Args:
        equation: As of ``torch.einsum``.
        *operands: Log factors.
    """
    given, output = equation.split("->")
    inputs = given.split(",")
    summed = sorted(set("".join(inputs)) - set(output))
    dims = [*output, *summed]
    total = sum(_lay_along(x, names, dims) for x, names in zip(operands, inputs, strict=True))
    return sum_exponentials(total, len(summed))


def transpose(a: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
    """Reorder dimensions."""
    return a.permute(axes)


tensordot = Tensordot(einsum)


def sum_exponentials(log_terms: torch.Tensor, count: int) -> torch.Tensor:
    """Log of the sum of exponentials over the last dimensions.

    Where all terms are zero the gradient is zero: torch's own would be NaN.

    Args:
        log_terms: Logs of the terms.
        count: How many dimensions are summed.
    """
    if not count:
        return log_terms.clone()
    dims = tuple(range(-count, 0))
    peak = log_terms.detach().amax(dims, keepdim=True)
    peak = peak.clamp(min=torch.finfo(peak.dtype).min)  # -inf less -inf
    total = (log_terms - peak).exp().sum(dims)
    some = total != 0  # NaN is some
    logs = torch.where(some, total, 1.0).log() + peak[(..., *(0,) * count)]
    return torch.where(some, logs, -torch.inf)


def _lay_along(x: torch.Tensor, names: str, dims: list[str]) -> torch.Tensor:
    """A tensor with dimensions in the order of ``dims``, those that it lacks of size one."""
    order = sorted(range(len(names)), key=lambda axis: dims.index(names[axis]))
    return x.permute(order)[tuple(slice(None) if dim in names else None for dim in dims)]
