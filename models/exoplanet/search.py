"""The best fit: the highest point of a posterior, climbed to from draws of the prior."""

import numpy as np
from scipy import optimize

from ppl_ext.density import Density

__all__ = ["find_mode"]

_CANDIDATES = 1024


def find_mode(density: Density, seed: int = 0, starts: int = 4, steps: int = 300) -> np.ndarray:
    """Climb to the highest point of a log density in unconstrained coordinates.

    The best of many draws of the uniform priors are climbed from by L-BFGS. Not the mode in the
    parameters' own units: the log-Jacobian keeps it off the ends of the priors.

    Args:
        density: As `trace_density` returns it, of uniform priors.
        seed: Seed of the draws of the priors.
        starts: Number of draws to climb from.
        steps: Most steps of a climb.

    Returns:
        The point, ``[dim]``.
    """
    # A uniform is a logistic in unconstrained coordinates.
    draws = np.random.default_rng(seed).logistic(size=(_CANDIDATES, density.dim))
    best = np.argsort(-density.log_p(draws))[:starts]

    def fall(z):
        log_p, gradient = density.log_density(z[None])
        return -log_p[0], -gradient[0]

    climbs = [
        optimize.minimize(fall, start, jac=True, method="L-BFGS-B", options={"maxiter": steps})
        for start in draws[best]
    ]
    return min(climbs, key=lambda climb: climb.fun).x
