"""The standard Gumbel distribution to the last digits, in both of its tails."""

import math

import torch

from ppl_ext.estimators.gumbel_constants import (
    INV_E,
    LN2_HIGH,
    LN2_LOW,
    LOG_REST,
    REST,
    SERIES,
    split,
)


def cdf(z: torch.Tensor) -> torch.Tensor:
    """Return ``exp(-exp(-z))``; an error of ``exp(-z)`` would show ``exp(-z)``-fold in it."""
    plain = torch.exp(-torch.exp(-z))
    return _exp_minus_exp(-z.detach()) + (plain - plain.detach())


def sf(z: torch.Tensor) -> torch.Tensor:
    """Return ``1 - exp(-exp(-z))``."""
    return -torch.expm1(-torch.exp(-z))


def log_sf(z: torch.Tensor) -> torch.Tensor:
    """Return ``log(1 - exp(-exp(-z)))``."""
    far = z > 0.7
    t = torch.exp(-torch.where(far, z, 0.7))
    return torch.where(far, log_mean_survival(t) - z, torch.log1p(-cdf(torch.where(far, 0.7, z))))


def quantile(p: torch.Tensor) -> torch.Tensor:
    """Return the point below which a share ``p`` lies."""
    high, low = split(INV_E, p.dtype == torch.float32)
    return _near_zero(math.e * ((p - high) - low), -torch.log(-torch.log(p)))


def upper_quantile(q: torch.Tensor) -> torch.Tensor:
    """Return the point above which a share ``q`` lies."""
    high, low = split(REST, q.dtype == torch.float32)
    return _near_zero(math.e * ((high - q) + low), -torch.log(-torch.log1p(-q)))


def quantile_of_log_cdf(log_p: torch.Tensor) -> torch.Tensor:
    """Return the point at which the distribution function has this logarithm."""
    return -torch.log(-log_p)


def quantile_of_log_sf(log_q: torch.Tensor) -> torch.Tensor:
    """Return the point at which the survival function has this logarithm."""
    high, low = split(LOG_REST, log_q.dtype == torch.float32)
    centre = (1 - math.e) * torch.expm1((log_q - high) - low)
    far = log_q < -1
    q = torch.exp(torch.where(far, log_q, -1.0))
    # -log(1 - q) = q (1 + q/2 + ...): its logarithm keeps what log q says beyond a float's range.
    q = q.clamp(min=1e-20)
    excess = torch.log(-torch.log1p(-q) / q)
    near = -torch.log(-torch.log(-torch.expm1(torch.where(far, -1.0, log_q))))
    return _near_zero(centre, torch.where(far, -log_q - excess, near))


def log_mean_survival(t):
    """Return ``log((1 - exp(-t)) / t)`` for small ``t``."""
    return sum(weight * t**power for power, weight in SERIES.items())


def _near_zero(centre, plain):
    """Replace ``-log(-log p)`` near its zero ``p = 1/e``, where ``centre`` is ``e p - 1``."""
    close = centre.abs() < 0.45
    return torch.where(close, -torch.log1p(-torch.log1p(torch.where(close, centre, 0.0))), plain)


def _exp_minus_exp(y):
    """Return ``exp(-exp(y))``, the inner exponential carried in two floats where it is above 1."""
    plain = torch.exp(-torch.exp(y))
    inside = y.clamp(0.0, 8.0)  # beyond, the result is zero in every precision
    power = torch.round(inside / math.log(2))
    r, r_low = inside - power * LN2_HIGH, -power * LN2_LOW
    # Half of r as a few leading bits, whose square is exact, and the rest.
    spread = r * (2.0**12 + 1 if r.dtype == torch.float32 else 2.0**27 + 1)
    lead = spread - (spread - r)
    square, square_low = 0.5 * lead * lead, 0.5 * (r - lead) * (r + lead)
    tail = torch.zeros_like(r)
    for n in range(16, 2, -1):
        tail = (tail * r) + 1 / math.factorial(n)
    first = 1 + r
    second = first + square
    low = (r - (first - 1)) + (square - (second - first)) + square_low + tail * r**3
    scale = torch.exp2(power)
    low = low + (second + low) * torch.expm1(r_low)
    carried = torch.exp(-second * scale) * torch.exp(-low * scale)
    return torch.where(y > 0, carried, plain)
