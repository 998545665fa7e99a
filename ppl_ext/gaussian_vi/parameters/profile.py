"""The bound as a function of the parameters alone, and the climb to its maximum."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ppl_ext.density import ParametricDensity
from ppl_ext.fitting.settings import Deterministic
from ppl_ext.gaussian_vi.curvature import measure_curvature, measure_diagonal_curvature
from ppl_ext.gaussian_vi.full_rank import ascend_full_rank
from ppl_ext.gaussian_vi.mean_field import ascend_mean_field
from ppl_ext.gaussian_vi.objective import CountedDensity, GaussianState
from ppl_ext.gaussian_vi.starts import factor_covariance

__all__ = ["Profile", "ProfileClimb", "ProfilePoint"]

# The climb ends with a predicted gain of so many times the tolerance: its last step is cheap and
# leaves the parameters, whose distance is the root of the gain, ten times nearer.
_SHARPER = 0.01
# The gradient in the parameters is one of the best Gaussian, which is therefore found more sharply
# than what is still to be gained, to within these bounds; in single precision rounding sets one.
_INNER_SHARE, _SHARPEST, _SHARPEST_SINGLE, _BLUNTEST = 1e-3, 1e-6, 2e-5, 1e-3
# Backtracking ends at this length, or where so many trials differ by no more than rounding.
_SHORTEST, _DROWNED = 1e-9, 2
_ARMIJO = 1e-4
# A step may move a parameter by so many times its size, or by as much where that is below one.
_LONGEST_MOVE = 3.0
# Up to so many parameters the first curvature is a matrix, above its diagonal from random signs.
_MOST_DENSE = 24
_CURVATURE_PAIRS = 32


@dataclass(frozen=True)
class ProfilePoint:
    """Parameters, the best Gaussian there, and the slope of the bound.

    Args:
        theta: The parameters, ``[parameter]``.
        state: The Gaussian, with its averages.
        gradient: ``[parameter]``, gradient of the bound, the Gaussian following its optimum.
    """

    theta: np.ndarray
    state: GaussianState
    gradient: np.ndarray

    @property
    def elbo(self) -> float:
        """The bound, in nats."""
        return self.state.average.elbo

    @property
    def finite(self) -> bool:
        """Whether bound and gradient are numbers."""
        return bool(np.isfinite(self.elbo) and np.isfinite(self.gradient).all())


class Profile:
    r"""The bound on fixed draws, maximised over the Gaussian.

    .. math:: F(\theta) = \max_q E_q[\log p_\theta(z)] + H[q]

    By the envelope theorem its gradient is the average of that of log p over the draws of the
    best Gaussian, which is found from the one at hand.

    Args:
        density: The log density and its parameters.
        half: Standard normal draws, ``[pair, dim]``; their negatives are used too.
        optimizer: Tolerances and limits.
        count: Told the number of gradients of every call.
    """

    def __init__(
        self,
        density: ParametricDensity,
        half: np.ndarray,
        optimizer: Deterministic,
        count: Callable[[int], object],
    ) -> None:
        self.density = density
        self.half = half
        self._optimizer = optimizer
        self._count = count
        self.precision = density.at(density.start).dtype
        single = np.finfo(self.precision).eps > 1e-10
        self.sharpest = _SHARPEST_SINGLE if single else _SHARPEST

    def evaluate(
        self, theta: np.ndarray, loc: np.ndarray, scale: np.ndarray, tolerance: float = 0.0
    ) -> ProfilePoint:
        """The bound at some parameters, climbed to from a Gaussian.

        Args:
            theta: ``[parameter]``.
            loc: Mean to start from, ``[dim]``.
            scale: ``[dim]`` for mean field, ``[dim, dim]`` for full rank.
            tolerance: Divergence from the best Gaussian at which it is found, in nats; no less
                than rounding allows.
        """
        tolerance = min(max(tolerance, self.sharpest), self._optimizer.kl_tolerance)
        inner = replace(self._optimizer, kl_tolerance=tolerance)
        counted = CountedDensity(self.density.at(theta).log_density, self._count)
        ascend: Callable[..., GaussianState] = ascend_mean_field
        if scale.ndim == 2:
            ascend = partial(ascend_full_rank, precision=self.precision)
        state = ascend(counted, loc, scale, self.half, inner, may_add_draws=False)
        gradient = np.full(len(theta), np.nan)
        if np.isfinite(state.average.elbo):
            gradient = self.slope(theta, state, self.half)
        return ProfilePoint(theta, state, gradient)

    def slope(self, theta: np.ndarray, state: GaussianState, half: np.ndarray) -> np.ndarray:
        """Gradient of the expected log density in the parameters, over given draws."""
        offset = half * state.scale if state.scale.ndim == 1 else half @ state.scale.T
        self._count(2 * len(half))
        with np.errstate(all="ignore"):
            return self.density.gradient(
                np.concatenate([state.loc + offset, state.loc - offset]), theta
            )

    def spread(self, point: ProfilePoint, rng: np.random.Generator) -> np.ndarray:
        """A first guess at the inverse of the curvature in the parameters.

        It is the curvature with the Gaussian held, which is never below that with the Gaussian
        following: steps by it are those of the EM algorithm, too short rather than too long.

        Args:
            point: Where.
            rng: Source of random signs.

        Returns:
            ``[parameter, parameter]``.
        """
        half = self.half[:_CURVATURE_PAIRS]

        def held(thetas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            slopes = [self.slope(theta, point.state, half) for theta in thetas]
            return np.zeros(len(thetas)), np.stack(slopes)

        if len(point.theta) <= _MOST_DENSE:
            curvature = measure_curvature(held, point.theta[None], self.precision)[0]
            # What the bound does not depend on may stay where it is.
            curvature += np.diag(~curvature.any(axis=0))
            factor = factor_covariance(curvature)
            if factor is not None:
                return factor @ factor.T
        diagonal = measure_diagonal_curvature(held, point.theta, self.precision, rng)
        return np.diag(1 / diagonal)


@dataclass
class ProfileClimb:
    """Quasi-Newton ascent of a profile; it may go on with another profile of the same density.

    Args:
        point: Where it stands.
        inverse: Inverse of the curvature in the parameters as far as it is known,
            ``[parameter, parameter]``.
        elbos: The bound after every step.
        rising: How many of the last steps found the bound not curved downwards, so that no
            maximum was in sight.
        stuck: Whether the climb ended where no step rises, by rounding or overflow.
    """

    point: ProfilePoint
    inverse: np.ndarray
    elbos: list[float]
    rising: int = 0
    stuck: bool = False

    @property
    def gain(self) -> float:
        """Predicted rise of the bound still to come, in nats."""
        slope = self.point.gradient
        return float(0.5 * slope @ self.inverse @ slope)

    def run(self, profile: Profile, optimizer: Deterministic) -> None:
        """Climb until the predicted gain is below the tolerance, or no step rises.

        Args:
            profile: The objective; ``point`` must be one of its own.
            optimizer: Tolerances and limits.
        """
        self.stuck = False
        for _ in range(optimizer.max_steps):
            if not self.gain > _SHARPER * optimizer.kl_tolerance:
                return
            trial = self._search(profile)
            self.stuck = trial is None
            if trial is None:
                return
            self._learn(trial)
            self.point = trial
            self.elbos.append(trial.elbo)

    def _search(self, profile: Profile) -> ProfilePoint | None:
        """A better point along the quasi-Newton direction, None where rounding hides it."""
        point = self.point
        direction = self.inverse @ point.gradient
        longest = np.max(np.abs(direction) / np.maximum(1.0, np.abs(point.theta)))
        step = min(1.0, _LONGEST_MOVE / max(float(longest), 1e-300))
        slope = float(direction @ point.gradient)
        blunt = float(np.clip(_INNER_SHARE * self.gain, profile.sharpest, _BLUNTEST))
        noise = 4 * np.finfo(profile.precision).eps * abs(point.elbo) + 2 * blunt
        drowned = 0
        while drowned < _DROWNED and step > _SHORTEST:
            start = point.state
            theta = point.theta + step * direction
            trial = profile.evaluate(theta, start.loc, start.scale, blunt)
            rise = trial.elbo - point.elbo
            if trial.finite:
                # Where sums of rounded log densities cannot tell, the slope does.
                flatter = trial.gradient @ self.inverse @ trial.gradient < slope
                if rise > noise and rise > _ARMIJO * step * slope:
                    return trial
                if abs(rise) <= noise:
                    if flatter:
                        return trial
                    drowned += 1
            shortfall = step * slope - rise
            shrink = 0.5 * step * slope / shortfall if np.isfinite(shortfall) else 0.1
            step *= float(np.clip(shrink, 0.1, 0.5))
        return None

    def _learn(self, trial: ProfilePoint) -> None:
        """Update the inverse curvature by Broyden, Fletcher, Goldfarb and Shanno."""
        step = trial.theta - self.point.theta
        turn = self.point.gradient - trial.gradient
        along = float(step @ turn)
        if along <= 1e-8 * float(np.linalg.norm(step) * np.linalg.norm(turn)):
            self.rising += 1
            self.inverse = 4.0 * self.inverse
            return
        self.rising = 0
        turned = self.inverse @ turn
        outer = np.outer(turned, step) / along
        weight = (1 + float(turn @ turned) / along) / along
        self.inverse = self.inverse + weight * np.outer(step, step) - outer - outer.T
