"""The linear-Gaussian posterior in which a network starts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ppl_ext.npe.features import Layout

__all__ = ["Frame"]

_MOST_ROWS = 20_000  # simulations from which the regression is learned
_MOST_COLUMNS = 1000  # beyond, squares are left out
_STRENGTHS = 10.0 ** np.arange(-6, 5)  # of the ridge, relative to the mean square of a column


@dataclass(frozen=True)
class Frame:
    r"""Latent coordinates relative to their linear regression on features of the observation.

    .. math:: z = A\, h(x) + b + L\, u

    The network learns the distribution of :math:`u` given :math:`x`, which is standard normal
    where the model is linear and Gaussian. :math:`h` are the features and their squares, averaged
    over the rows of a set.

    Args:
        weights: ``A``, ``[column, dim]``.
        bias: ``b``, ``[dim]``.
        scale_tril: ``L``, ``[dim, dim]``.
        squares: Whether :math:`h` holds squares too.

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

    @classmethod
    def read(cls, z: np.ndarray, f: np.ndarray, layout: Layout) -> Frame:
        """Regress latent coordinates on features, with the ridge that predicts best.

        Args:
            z: ``[simulation, dim]``, unconstrained.
            f: Features of the same simulations, from ``features.apply``.
            layout: How they lie.
        """
        z, f = z[:_MOST_ROWS].astype(float), f[:_MOST_ROWS]
        squares = 2 * f.shape[1] <= min(_MOST_COLUMNS, len(f) // 10)
        h = _pool(f, layout, squares)
        center = h.mean(0)
        u, s, vt = np.linalg.svd(h - center, full_matrices=False)
        deviations = z - z.mean(0)
        projected = u.T @ deviations
        best, chosen = np.inf, (np.zeros((h.shape[1], z.shape[1])), deviations)
        for strength in _STRENGTHS * float((s**2).mean()):
            shrunk = s**2 / (s**2 + strength)
            fitted = u @ (shrunk[:, None] * projected)
            # Leave-one-out errors in closed form.
            leverage = ((u**2) @ shrunk + 1 / len(z))[:, None]
            errors = (deviations - fitted) / (1 - np.minimum(leverage, 0.99))
            loss = float(np.log((errors**2).mean(0) + 1e-300).sum())
            if loss < best:
                scaled = np.divide(shrunk, s, out=np.zeros_like(s), where=s > 0)
                best, chosen = loss, (vt.T @ (scaled[:, None] * projected), errors)
        weights, errors = chosen
        covariance = np.atleast_2d(np.cov(errors.T))
        ridge = 1e-8 * np.diag(np.maximum(np.diagonal(covariance), 1e-12))
        return cls(
            weights, z.mean(0) - center @ weights, np.linalg.cholesky(covariance + ridge), squares
        )

    @property
    def log_scale(self) -> float:
        """Log determinant of ``L``."""
        return float(np.log(np.diagonal(self.scale_tril)).sum())

    def locate(self, f: np.ndarray, layout: Layout) -> np.ndarray:
        """Where observations put the origin of ``u``: ``[observation, dim]``."""
        location: np.ndarray = _pool(f, layout, self.squares) @ self.weights + self.bias
        return location

    def pull(self, z: np.ndarray, location: np.ndarray) -> np.ndarray:
        """``u[..., dim]`` of points ``z[..., dim]``."""
        inverse = np.linalg.inv(self.scale_tril)
        pulled: np.ndarray = (z - location) @ inverse.T
        return pulled

    def push(self, u: np.ndarray, location: np.ndarray) -> np.ndarray:
        """Points ``z[..., dim]`` of ``u[..., dim]``."""
        pushed: np.ndarray = location + u @ self.scale_tril.T
        return pushed


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
