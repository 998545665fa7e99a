"""The linear-Gaussian posterior in which a network starts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ppl_ext.npe.features import Layout
from ppl_ext.npe.soft_clip import SOFTNESS, SoftClip

__all__ = ["Frame"]

_MOST_ROWS = 20_000  # simulations from which the regression is learned
_MOST_COLUMNS = 1000  # beyond, squares are left out
_STRENGTHS = 10.0 ** np.arange(-6, 5)  # of the ridge, relative to the mean square of a column
# Nats that a coordinate has to gain to be clipped. Where the data tell little more than the prior
# it gains a few hundredths, and a posterior that piles up at a bound ends more steeply there.
_WORTH_IT = 0.1


@dataclass(frozen=True)
class Frame:
    r"""Latent coordinates relative to their linear regression on features of the observation.

    .. math:: g(z) = A\, h(x) + b + L\, u

    The network learns the distribution of :math:`u` given :math:`x`, which is standard normal
    where the model is linear and Gaussian. :math:`h` are the features and their squares, averaged
    over the rows of a set. :math:`g` makes bounded values of those coordinates whose regression is
    the better for it, as it is where the data tell more than the prior, and leaves the others as
    they are.

    Args:
        weights: ``A``, ``[column, dim]``.
        bias: ``b``, ``[dim]``.
        scale_tril: ``L``, ``[dim, dim]``.
        squares: Whether :math:`h` holds squares too.
        clip: ``g``.

    Example:
        >>> from ppl_ext.npe.features import Features, ObservedSite
        >>> rng = np.random.default_rng(0)
        >>> z = rng.normal(size=(5000, 1))
        >>> x = {"x": z + rng.normal(size=(5000, 1))}
        >>> features = Features.read([ObservedSite("x", (1,))], x)
        >>> f = features.apply(x)
        >>> frame = Frame.read(z, f, features.layout)
        >>> u = frame.pull(z, frame.locate(f, features.layout))
        >>> bool(abs(u.std() - 1) < 0.05), round(float(frame.scale_tril[0, 0]), 1)
        (True, 0.7)

    References:
        Hoerl, Kennard (1970), Ridge regression, Technometrics 12(1).
    """

    weights: np.ndarray
    bias: np.ndarray
    scale_tril: np.ndarray
    squares: bool
    clip: SoftClip

    @classmethod
    def read(
        cls, z: np.ndarray, f: np.ndarray, layout: Layout, bounded: np.ndarray | None = None
    ) -> Frame:
        """Regress latent coordinates on features, with the ridge that predicts best.

        Args:
            z: ``[simulation, dim]``, unconstrained.
            f: Features of the same simulations, from ``features.apply``.
            layout: How they lie.
            bounded: Which coordinates are logits of bounded values, ``[dim]``; None if none is.
        """
        z, f = z[:_MOST_ROWS].astype(float), f[:_MOST_ROWS]
        squares = 2 * f.shape[1] <= min(_MOST_COLUMNS, len(f) // 10)
        h = _pool(f, layout, squares)
        regression = _Regression(h)
        bounded = np.zeros(z.shape[1], bool) if bounded is None else bounded
        clip = _choose_clip(regression, z, bounded)
        y = clip.push(z)
        found = regression.fit(y, _STRENGTHS)
        covariance = np.atleast_2d(np.cov(found.errors.T))
        ridge = 1e-8 * np.diag(np.maximum(np.diagonal(covariance), 1e-12))
        return cls(
            found.weights,
            y.mean(0) - regression.center @ found.weights,
            np.linalg.cholesky(covariance + ridge),
            squares,
            clip,
        )

    def locate(self, f: np.ndarray, layout: Layout) -> np.ndarray:
        """Where observations put the origin of ``u``: ``[observation, dim]``."""
        location: np.ndarray = _pool(f, layout, self.squares) @ self.weights + self.bias
        return location

    def pull(self, z: np.ndarray, location: np.ndarray) -> np.ndarray:
        """``u[..., dim]`` of points ``z[..., dim]``."""
        inverse = np.linalg.inv(self.scale_tril)
        pulled: np.ndarray = (self.clip.push(z) - location) @ inverse.T
        return pulled

    def push(self, u: np.ndarray, location: np.ndarray) -> np.ndarray:
        """Points ``z[..., dim]`` of ``u[..., dim]``."""
        return self.clip.pull(location + u @ self.scale_tril.T)

    def log_slope(self, z: np.ndarray) -> np.ndarray:
        """Log determinant of the Jacobian of `pull` at ``z[..., dim]``, ``[...]``."""
        stretch = np.log(np.diagonal(self.scale_tril)).sum()
        slope: np.ndarray = self.clip.log_slope(z).sum(-1) - stretch
        return slope


@dataclass(frozen=True)
class _Fitted:
    """Weights ``[column, dim]``, leave-one-out errors ``[row, dim]``, and the ridge."""

    weights: np.ndarray
    errors: np.ndarray
    strength: float


class _Regression:
    """Ridge regressions of several targets on the same columns ``[row, column]``."""

    def __init__(self, h: np.ndarray) -> None:
        self.center = h.mean(0)
        self._u, self._s, self._vt = np.linalg.svd(h - self.center, full_matrices=False)

    def fit(self, targets: np.ndarray, strengths: np.ndarray) -> _Fitted:
        """Regress targets ``[row, dim]``, with the ridge that predicts best."""
        u, s = self._u, self._s
        deviations = targets - targets.mean(0)
        projected = u.T @ deviations
        nothing = np.zeros((self._vt.shape[1], targets.shape[1]))
        best, chosen = np.inf, _Fitted(nothing, deviations, np.inf)
        for strength in strengths:
            shrunk = s**2 / (s**2 + strength * float((s**2).mean()))
            fitted = u @ (shrunk[:, None] * projected)
            # Leave-one-out errors in closed form.
            leverage = ((u**2) @ shrunk + 1 / len(targets))[:, None]
            errors = (deviations - fitted) / (1 - np.minimum(leverage, 0.99))
            loss = float(np.log((errors**2).mean(0) + 1e-300).sum())
            if loss < best:
                scaled = np.divide(shrunk, s, out=np.zeros_like(s), where=s > 0)
                weights = self._vt.T @ (scaled[:, None] * projected)
                best, chosen = loss, _Fitted(weights, errors, float(strength))
        return chosen


def _choose_clip(regression: _Regression, z: np.ndarray, bounded: np.ndarray) -> SoftClip:
    """The softness of each coordinate that makes its linear-Gaussian posterior the most likely."""
    dim = z.shape[1]
    chosen = np.full(dim, np.inf)
    if not bounded.any():
        return SoftClip(chosen)
    plain = regression.fit(z, _STRENGTHS)
    best = _WORTH_IT - np.log(plain.errors.std(0))
    for softness in SOFTNESS:
        clip = SoftClip(np.full(dim, softness))
        errors = regression.fit(clip.push(z), np.array([plain.strength])).errors
        score = clip.log_slope(z).mean(0) - np.log(errors.std(0))
        chosen = np.where(bounded & (score > best), softness, chosen)
        best = np.maximum(score, best)
    return SoftClip(chosen)


def _pool(f: np.ndarray, layout: Layout, squares: bool) -> np.ndarray:
    """What is regressed on: features, and their squares, averaged over the rows of a set."""
    f = np.asarray(f, float)
    alone = f[:, : layout.vector_width]
    parts = [alone, alone**2] if squares else [alone]
    if layout.num_rows:
        rows = f[:, layout.vector_width :].reshape(len(f), -1, layout.row_width)
        count = np.maximum(1, rows[..., -1:].sum(1)) if layout.flagged else rows.shape[1]
        parts += [rows.sum(1) / count]
        parts += [(rows**2).sum(1) / count] if squares else []
    return np.concatenate(parts, 1)
