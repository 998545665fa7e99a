"""The standard Gumbel distribution between two ends, to the last digits in its tails.

``t = exp(-z)`` is exponential, and has no memory: above its least value ``exp(-upper)`` the excess
is exponential again, cut off at the width between the ends.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from ppl_ext.pyro.gumbel import standard_gumbel

FAR = 0.7  # a lower end beyond which logarithms are taken relative to it
# Nodes of the double exponential rule: with probabilities sigmoid(NODES), the mean of a function
# of a quantile is its sum with these weights, whatever it does at the ends.
_STEPS = np.arange(-3.3, 3.35, 0.1)
NODES = math.pi * np.sinh(_STEPS)
WEIGHTS = 0.1 * math.pi * np.cosh(_STEPS) / (np.exp(NODES) + 2 + np.exp(-NODES))


@dataclass(frozen=True)
class Cut:
    """Location, scale and ends, in float32 or wider; an end that is not there is None."""

    loc: torch.Tensor
    scale: torch.Tensor
    upper: torch.Tensor | None
    lower: torch.Tensor | None

    def log_density(self, value):
        """Return the log-density, ``-inf`` beyond the ends."""
        value, inside = self._clip(value)
        z, below, above = self._standardize(value)
        height = z if self.lower is None else torch.where(self._far, below, z)
        density = -height - _excess(z, above) - self._log_mass() - torch.log(self.scale)
        return torch.where(inside, density, -torch.inf)

    def log_cdf(self, value):
        """Return the log-probability of at most this value."""
        z, below, above = self._standardize(self._clip(value)[0])
        if self.lower is None:
            return -_excess(z, above)
        share = self._log_share(self._least, torch.zeros_like(self._least), below)
        return share - _excess(z, above) - self._log_mass()

    def log_sf(self, value):
        """Return the log-probability of more than this value."""
        z, below, above = self._standardize(self._clip(value)[0])
        return self._log_share(z, below, above) - self._log_mass()

    def quantile(self, log_p, log_q):
        """Return the point with these log-probabilities below and above: one of them tells."""
        log_excess = self._log_excess(log_p, log_q)
        if self.upper is None:
            return self._clip(self.loc - self.scale * log_excess)[0]
        # An excess is small or large against what lies beyond the upper end.
        ratio = log_excess + self._standardize(self.upper)[0]
        fallen = self.upper - self.scale * _softplus(ratio)
        placed = self.loc - self.scale * (log_excess + _softplus(-ratio))
        return self._clip(torch.where(ratio < 0, fallen, placed))[0]

    def moments(self):
        """Return mean and variance, by quadrature over the quantiles."""
        shape = (-1, *(1,) * self.loc.dim())
        nodes, weights = (self.loc.new_tensor(each).reshape(shape) for each in (NODES, WEIGHTS))
        log_excess = self._log_excess(-_softplus(-nodes), -_softplus(nodes))
        origin, points = self.loc, -log_excess
        if self.upper is not None:
            # Far below the location, in depths below the end: all else would be rounded away.
            b = self._standardize(self.upper)[0]
            depth = _softplus(log_excess + b)
            origin = torch.where(b < 0, self.upper, self.loc)
            points = torch.where(b < 0, -depth, -log_excess - _softplus(-log_excess - b))
        mean = (weights * points).sum(0)
        variance = (weights * torch.square(points - mean)).sum(0)
        return origin + self.scale * mean, torch.square(self.scale) * variance

    def entropy(self):
        """Return the entropy; the mean is all that is not in closed form."""
        mean = (self.moments()[0] - self.loc) / self.scale
        entropy = mean + torch.log(self.scale) + 1
        if self.lower is None:
            return entropy
        width = torch.exp(torch.clamp(self._log_width(), max=math.log(80.0)))
        lost = width / torch.expm1(torch.where(width > 0, width, 1.0))
        anchor = torch.where(self._far, self._least, 0.0)
        return entropy - torch.where(width > 0, lost, 1.0) + self._log_mass() - anchor

    @property
    def _least(self):
        return (self.lower - self.loc) / self.scale

    @property
    def _far(self):
        return self._least > FAR

    def _clip(self, value):
        """Move a value between the ends, and say whether it was there."""
        inside = value == value
        if self.upper is not None:
            inside = inside & (value <= self.upper)
            value = torch.minimum(value, self.upper)
        if self.lower is not None:
            inside = inside & (value >= self.lower)
            value = torch.maximum(value, self.lower)
        return value, inside

    def _standardize(self, value):
        """Return a value in units of the scale, from the location and from both ends."""
        below = None if self.lower is None else (value - self.lower) / self.scale
        above = None if self.upper is None else (self.upper - value) / self.scale
        return (value - self.loc) / self.scale, below, above

    def _log_excess(self, log_p, log_q):
        """Return the logarithm of the excess with these log-probabilities below and above."""
        if self.lower is None:
            near_top = log_q < log_p
            from_below = torch.log(-torch.where(near_top, -1.0, log_p))
            log_mass = 0.0
        else:
            anchor = torch.where(self._far, self._least, 0.0)
            log_mass = self._log_mass() - anchor
            log_width = self._log_width()
            near_top = (log_q < log_p) | (log_width < 0)
            kept = log_q - torch.exp(torch.clamp(log_width, max=80.0))
            from_below = torch.log(-torch.where(near_top, -1.0, torch.logaddexp(log_p, kept)))
        log_q = torch.where(near_top, log_q, -1.0)
        return torch.where(
            near_top, -standard_gumbel.quantile_of_log_sf(log_q + log_mass), from_below
        )

    def _log_width(self):
        """Return the logarithm of the largest excess."""
        return _log_difference(self._least, self._standardize(self.lower)[2])

    def _log_mass(self):
        """Return ``log(1 - exp(-width))``; far up, plus the lower end."""
        if self.lower is None:
            return 0.0
        return self._log_share(
            self._least, torch.zeros_like(self._least), self._standardize(self.lower)[2]
        )

    def _log_share(self, z, below, gap):
        """Return ``log(1 - exp(-t))``, ``t`` from ``z`` up over ``gap``; far up, plus the end."""
        log_t = _log_difference(z, gap)
        plain = standard_gumbel.log_sf(-log_t)
        if self.lower is None:
            return plain
        near_end = _log_difference(below, gap)
        t = torch.exp(torch.clamp(torch.where(self._far, log_t, 0.0), max=0.0))
        return torch.where(self._far, near_end + standard_gumbel.log_mean_survival(t), plain)


def log_rest(x):
    """Return ``log(1 - exp(-x))`` for ``x >= 0``."""
    small = x < math.log(2)
    near = torch.log(-torch.expm1(-torch.where(small, x, 0.5)))
    return torch.where(small, near, torch.log1p(-torch.exp(-torch.where(small, 1.0, x))))


def _log_difference(z, gap):
    """Return ``log(exp(-z) - exp(-z - gap))``."""
    return -z if gap is None else log_rest(gap) - z


def _excess(z, above):
    """Return ``exp(-z)`` less what it is at the upper end, ``above`` higher."""
    if above is None:
        return torch.exp(-z)
    close = above < 1
    top = torch.exp(-(z + above))
    largest = torch.finfo(z.dtype).max
    near = top.clamp(max=largest) * torch.expm1(torch.where(close, above, 0.0))
    return torch.where(close, near, torch.exp(-z) - torch.where(close, 0.0, top))


def _softplus(x):
    return torch.logaddexp(x, torch.zeros_like(x))
