"""A log density whose posterior moments are known without sampling from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ppl_ext.density import Density, Site

__all__ = ["Target", "build"]

LogDensity = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Target:
    """A density on unconstrained space and the truth about it.

    Args:
        name: Name that says what is hard about it.
        density: The log density with its analytic gradient.
        mean: True mean of each judged quantity.
        sd: True standard deviation of each, infinite where the second moment does not exist.
        log_evidence: Log of the integral of the density.
        judged: Names of the constrained values that the truth is about, in its order.
    """

    name: str
    density: Density
    mean: np.ndarray
    sd: np.ndarray
    log_evidence: float
    judged: tuple[str, ...]

    def extract(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Collect the judged values as ``array[draw, quantity]``."""
        columns = [np.asarray(values[name]) for name in self.judged]
        return np.concatenate([array.reshape(len(array), -1) for array in columns], axis=1)


def build(
    name: str,
    log_density: LogDensity,
    mean: np.ndarray,
    sd: np.ndarray,
    *,
    dim: int,
    log_evidence: float = 0.0,
    constrain: Callable[[np.ndarray], Mapping[str, np.ndarray]] | None = None,
    judged: tuple[str, ...] = ("z",),
) -> Target:
    """Wrap ``log_density(z[draw, dim]) -> (log_p, gradient)`` and its truth as a target."""
    density = Density(
        dim=dim,
        sites=(Site("z", (dim,), 0, dim),),
        log_density=log_density,
        log_p=lambda z: log_density(z)[0],
        constrain=constrain or (lambda z: {"z": z}),
        explain=lambda z: "" if np.isfinite(log_density(z[None])[0][0]) else "site 'z'",
    )
    return Target(name, density, np.atleast_1d(mean), np.atleast_1d(sd), log_evidence, judged)
