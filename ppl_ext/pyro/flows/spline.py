"""The monotonic rational-quadratic spline, in both directions, with its log slope."""

import math

import torch
from torch.nn import functional

__all__ = ["count_spline_parameters", "pull_spline", "push_spline"]

_LEAST_SHARE = 1e-3  # of a bin in the box, so that none closes
_LEAST_SLOPE = 1e-3
_OFFSET = math.log(math.expm1(1 - _LEAST_SLOPE))  # where the slope is one: zeros are the identity

_Pair = tuple[torch.Tensor, torch.Tensor]


def count_spline_parameters(num_bins: int) -> int:
    """Numbers that describe one spline: widths, heights, and slopes between bins."""
    return 3 * num_bins - 1


def push_spline(e: torch.Tensor, raw: torch.Tensor, num_bins: int, bound: float) -> _Pair:
    """Maps ``e`` through its splines; outside of the box the map is the identity.

    Args:
        e: Shape [...].
        raw: Unconstrained parameters of a spline for every element, shape [..., 3 num_bins - 1].
        num_bins: Number of bins.
        bound: The box is from minus this to this, on both sides.

    Returns:
        The image and the log of the slope, shapes [...].
    """
    inside = e.abs() < bound
    # Clipped before the arithmetic: where() alone would let NaN gradients through.
    at = e.clamp(-bound, bound) + bound  # from the lower end of the box
    bins = _read(raw, num_bins, bound)
    left, low, width, height, first, last = _find(at, 0, *bins)
    share = ((at - left) / width).clamp(0, 1)
    steep = height / width
    across = share * (1 - share)
    below = steep + (first + last - 2 * steep) * across
    x = low + height * (steep * share**2 + first * across) / below
    log_slope = _log_slope(steep, first, last, share, across, below)
    return torch.where(inside, x - bound, e), torch.where(inside, log_slope, 0.0)


def pull_spline(x: torch.Tensor, raw: torch.Tensor, num_bins: int, bound: float) -> _Pair:
    """Maps ``x`` back; the arguments are those of `push_spline`.

    Returns:
        The origin and the log of the slope there of the way forth, shapes [...].
    """
    inside = x.abs() < bound
    at = x.clamp(-bound, bound) + bound
    bins = _read(raw, num_bins, bound)
    left, low, width, height, first, last = _find(at, 1, *bins)
    steep = height / width
    rise = ((at - low) / height).clamp(0, 1)
    excess = first + last - 2 * steep
    b, c = first - rise * excess, steep * rise
    a = steep - b
    # Positive but for rounding, and a root of zero has no gradient.
    root = (b * b + 4 * a * c).clamp(min=1e-12).sqrt()
    # Of the two forms of the solution the one that does not subtract; where b < 0, a > 0.
    other = b < 0
    above, below = torch.where(other, root - b, 2 * c), torch.where(other, 2 * a, b + root)
    share = (above / below).clamp(0, 1)
    across = share * (1 - share)
    log_slope = _log_slope(steep, first, last, share, across, steep + excess * across)
    e = left + width * share - bound
    return torch.where(inside, e, x), torch.where(inside, log_slope, 0.0)


def _read(raw: torch.Tensor, num_bins: int, bound: float) -> tuple[torch.Tensor, ...]:
    """Sizes of the bins on both sides and where they end, [side, bin, ...], and all slopes."""
    # Bins go first: elements that lie side by side are reckoned with at once.
    sizes, slopes = raw.movedim(-1, 0).contiguous().split((2 * num_bins, num_bins - 1))
    sizes = sizes.unflatten(0, (2, num_bins))
    # A softmax.
    weights = (sizes - sizes.detach().amax(1, keepdim=True)).exp()
    whole = 2 * bound * (1 - _LEAST_SHARE * num_bins)
    sizes = weights * (whole / weights.sum(1, keepdim=True)) + 2 * bound * _LEAST_SHARE
    slopes = _LEAST_SLOPE + functional.softplus(slopes + _OFFSET)
    outside = torch.ones_like(slopes[:1])
    return sizes, sizes.cumsum(1), torch.cat([outside, slopes, outside])


def _find(
    at: torch.Tensor, side: int, sizes: torch.Tensor, ends: torch.Tensor, slopes: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """The bin of every element: its start and size on both sides, the slopes at its ends."""
    index = (at >= ends[side, :-1]).sum(0, keepdim=True)
    bins = torch.cat([ends, sizes])
    end, top, width, height = bins.gather(1, index.expand(4, *index.shape)).squeeze(1).unbind()
    first, last = slopes.gather(0, torch.cat([index, index + 1])).unbind()
    return end - width, top - height, width, height, first, last


def _log_slope(
    steep: torch.Tensor,
    first: torch.Tensor,
    last: torch.Tensor,
    share: torch.Tensor,
    across: torch.Tensor,
    below: torch.Tensor,
) -> torch.Tensor:
    above = last * share**2 + 2 * steep * across + first * (1 - share) ** 2
    return (above * (steep / below) ** 2).log()
