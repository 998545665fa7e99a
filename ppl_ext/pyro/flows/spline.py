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
    clipped = e.clamp(-bound, bound)
    lefts, widths, lows, heights, slopes = _read(raw, num_bins, bound)
    left, width, low, height, first, last = _find(clipped, lefts, widths, lows, heights, slopes)
    share = ((clipped - left) / width).clamp(0, 1)
    steep = height / width
    across = share * (1 - share)
    below = steep + (first + last - 2 * steep) * across
    x = low + height * (steep * share**2 + first * across) / below
    log_slope = _log_slope(steep, first, last, share, across, below)
    return torch.where(inside, x, e), torch.where(inside, log_slope, 0.0)


def pull_spline(x: torch.Tensor, raw: torch.Tensor, num_bins: int, bound: float) -> _Pair:
    """Maps ``x`` back; the arguments are those of `push_spline`.

    Returns:
        The origin and the log of the slope there of the way forth, shapes [...].
    """
    inside = x.abs() < bound
    clipped = x.clamp(-bound, bound)
    lefts, widths, lows, heights, slopes = _read(raw, num_bins, bound)
    low, height, left, width, first, last = _find(clipped, lows, heights, lefts, widths, slopes)
    steep = height / width
    rise = ((clipped - low) / height).clamp(0, 1)
    bend = rise * (first + last - 2 * steep)
    a, b, c = steep - first + bend, first - bend, -steep * rise
    # Positive but for rounding, and a root of zero has no gradient.
    root = (b**2 - 4 * a * c).clamp(min=1e-12).sqrt()
    # Of the two forms of the solution the one that does not subtract; where b < 0, a > 0.
    other = b < 0
    above, below = torch.where(other, root - b, -2 * c), torch.where(other, 2 * a, b + root)
    share = (above / below).clamp(0, 1)
    across = share * (1 - share)
    below = steep + (first + last - 2 * steep) * across
    log_slope = _log_slope(steep, first, last, share, across, below)
    return torch.where(inside, left + width * share, x), torch.where(inside, log_slope, 0.0)


def _read(raw: torch.Tensor, num_bins: int, bound: float) -> tuple[torch.Tensor, ...]:
    """Left ends and widths of the bins, lower ends and heights, and slopes at all knots."""
    widths, heights, slopes = raw.split((num_bins, num_bins, num_bins - 1), -1)
    parts = []
    for sizes in (widths, heights):
        shares = _LEAST_SHARE + (1 - _LEAST_SHARE * num_bins) * sizes.softmax(-1)
        sizes = 2 * bound * shares
        parts += [sizes.cumsum(-1) - sizes - bound, sizes]
    slopes = _LEAST_SLOPE + functional.softplus(slopes + _OFFSET)
    return (*parts, functional.pad(slopes, (1, 1), value=1.0))


def _find(
    at: torch.Tensor,
    starts: torch.Tensor,
    sizes: torch.Tensor,
    other_starts: torch.Tensor,
    other_sizes: torch.Tensor,
    slopes: torch.Tensor,
) -> tuple[torch.Tensor, ...]:
    """What belongs to the bin of every element; the slopes at its two ends last."""
    index = (at[..., None] >= starts[..., 1:]).sum(-1, keepdim=True)
    bins = (starts, sizes, other_starts, other_sizes, slopes[..., :-1], slopes[..., 1:])
    return tuple(each.gather(-1, index).squeeze(-1) for each in bins)


def _log_slope(
    steep: torch.Tensor,
    first: torch.Tensor,
    last: torch.Tensor,
    share: torch.Tensor,
    across: torch.Tensor,
    below: torch.Tensor,
) -> torch.Tensor:
    above = last * share**2 + 2 * steep * across + first * (1 - share) ** 2
    return 2 * steep.log() + above.log() - 2 * below.log()
