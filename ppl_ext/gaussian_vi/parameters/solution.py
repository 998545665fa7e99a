"""What the solver of a density with parameters answers."""

from dataclasses import dataclass

import numpy as np

from ppl_ext.density import ParametricDensity
from ppl_ext.gaussian_vi.solution import GaussianSolution

__all__ = ["ParametricSolution", "note_parameters"]

_MOST_NAMES = 8


@dataclass(frozen=True)
class ParametricSolution:
    """Parameters at the optimum of the bound, and the Gaussian there.

    Args:
        theta: ``[parameter]``, in the coordinates of `ppl_ext.density.ParametricDensity`.
        gaussian: The Gaussian of the latent sites and the log of the run.
        gain: Predicted rise of the bound that other parameters would bring, in nats.
        error: What the finite sample leaves of error in the parameters, in standard errors of
            their own as estimates from the data.

    Example:
        >>> from ppl_ext.fitting.fit_log import FitLog
        >>> log = FitLog(np.array([0.0]), "converged", True, seconds=0.1)
        >>> gaussian = GaussianSolution(
        ...     np.zeros(1), np.ones(1), 0.0, 0.0, 0.0, num_draws=256, converged=True, log=log
        ... )
        >>> ParametricSolution(np.array([1.5]), gaussian, gain=0.0, error=0.0).theta.tolist()
        [1.5]
    """

    theta: np.ndarray
    gaussian: GaussianSolution
    gain: float
    error: float


def note_parameters(density: ParametricDensity) -> str:
    """What a reader of draws and verdict should know of the parameters."""
    names = [site.name for site in density.parameters]
    some = ", ".join(f"'{name}'" for name in names[:_MOST_NAMES])
    rest = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return (
        f"parameters are point estimates ({some}{rest}): draws and verdict take them as known; "
        "give them a prior where their uncertainty matters"
    )
