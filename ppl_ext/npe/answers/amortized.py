"""A trained network with all that stands between it and latent coordinates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ppl_ext.npe.features import Features
from ppl_ext.npe.frame import Frame

__all__ = ["Amortized"]


@dataclass(frozen=True, eq=False)
class Amortized:
    """The posterior of any observation, in unconstrained coordinates.

    Args:
        features: How observations are read.
        frame: Where the network starts.
        sample_u: ``(seed, f[observation, width], num_draws) -> u[observation, draw, dim]``.
        log_q_u: ``(u[observation, draw, dim], f) -> [observation, draw]``.

    Example:
        >>> from ppl_ext.npe.features import ObservedSite
        >>> rng = np.random.default_rng(0)
        >>> z = rng.normal(size=(5000, 1))
        >>> x = {"x": z + rng.normal(size=(5000, 1))}
        >>> features = Features.read([ObservedSite("x", (1,))], x)
        >>> frame = Frame.read(z, features.apply(x), features.layout)
        >>> linear = Amortized(
        ...     features,
        ...     frame,
        ...     lambda seed, f, n: np.random.default_rng(seed).normal(size=(len(f), n, 1)),
        ...     lambda u, f: -0.5 * (u**2).sum(-1) - 0.5 * np.log(2 * np.pi),
        ... )
        >>> drawn = linear.sample({"x": np.array([[2.0]])}, 1000, seed=0)
        >>> round(float(drawn.mean()), 1), drawn.shape
        (1.0, (1, 1000, 1))
    """

    features: Features
    frame: Frame
    sample_u: Callable[[int, np.ndarray, int], np.ndarray]
    log_q_u: Callable[[np.ndarray, np.ndarray], np.ndarray]

    def sample(self, observed: Mapping[str, np.ndarray], num_draws: int, seed: int) -> np.ndarray:
        """Draw the posterior of each observation.

        Args:
            observed: ``{site: array[observation, ...]}``.
            num_draws: Draws for each.
            seed: Seed.

        Returns:
            ``z[observation, draw, dim]``, unconstrained.
        """
        f = self.features.apply(observed)
        u = self.sample_u(seed, f, num_draws).astype(float)
        return self.frame.push(u, self._locate(f))

    def log_q(self, z: np.ndarray, observed: Mapping[str, np.ndarray]) -> np.ndarray:
        """Log density of points under the posterior of each observation.

        Args:
            z: ``[observation, draw, dim]``.
            observed: ``{site: array[observation, ...]}``.

        Returns:
            ``[observation, draw]``, on unconstrained space.
        """
        f = self.features.apply(observed)
        u = self.frame.pull(z, self._locate(f))
        log_q: np.ndarray = self.log_q_u(u, f) + self.frame.log_slope(z)
        return log_q

    def _locate(self, f: np.ndarray) -> np.ndarray:
        return self.frame.locate(f, self.features.layout)[:, None]
