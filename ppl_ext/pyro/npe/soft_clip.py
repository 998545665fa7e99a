"""The way back from coordinates that are bounded values, in the host."""

import torch
from torch.distributions import constraints
from torch.distributions.transforms import Transform
from torch.nn.functional import logsigmoid, softplus

__all__ = ["Unclip"]


class Unclip(Transform):
    """The inverse of a `ppl_ext.npe.soft_clip.SoftClip`: from its coordinates to logits.

    Args:
        softness: Of each coordinate, ``[dim]``; infinite where they are logits as they are.
    """

    domain = codomain = constraints.real_vector
    bijective = True

    def __init__(self, softness: torch.Tensor) -> None:
        super().__init__()
        self.softness = softness

    def __eq__(self, other):
        return isinstance(other, Unclip) and torch.equal(self.softness, other.softness)

    __hash__ = Transform.__hash__

    def _call(self, x):
        bent, s = self._read()
        return torch.where(bent, _log_clip(x, s) - _log_clip(1 - x, s), x)

    def _inverse(self, y):
        bent, s = self._read()
        low, high = logsigmoid(y), logsigmoid(-y)
        return torch.where(bent, low.exp() + s * (_log_rise(low, s) - _log_rise(high, s)), y)

    def log_abs_det_jacobian(self, x, y):
        """Return the log determinant ``[...]`` at coordinates ``x[..., dim]`` and their logits."""
        bent, s = self._read()
        low, high = logsigmoid(y), logsigmoid(-y)
        both = (-(-1 / s).exp()).log1p() - _log_rise(low, s) - _log_rise(high, s)
        return -torch.where(bent, low + high + both, 0.0).sum(-1)

    def _read(self):
        bent = self.softness.isfinite()
        return bent, torch.where(bent, self.softness, 1.0)


def _log_rise(log_distance, s):
    """``log(1 - exp(-distance / s))``, also where the distance is less than any number."""
    ratio = log_distance.exp() / s
    small = ratio < 1e-6
    # What is not taken must have a finite gradient too.
    exact = (-torch.expm1(-torch.where(small, 1.0, ratio))).log()
    return torch.where(small, log_distance - s.log(), exact)


def _log_clip(x, s):
    """Logarithm of the distance to a bound at coordinates ``x`` from it."""
    inner = x / s + (-torch.expm1(-1 / s)).log() - softplus((x - 1) / s)
    small = inner < -15
    exact = softplus(torch.where(small, 0.0, inner)).log()
    return s.log() + torch.where(small, inner, exact)
