"""Rules that say when noisy losses have stopped falling: ``losses[step] -> reason or None``."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Plateau", "Rule", "cap_phases"]

Rule = Callable[[np.ndarray], str | None]

_BATCHES = 20
# Robust standard deviation of a normal sample: its interquartile range over this.
_IQR_OF_NORMAL = 1.349


@dataclass(frozen=True)
class Plateau:
    r"""Ends when the loss provably changes by less than its noise hides.

    An equivalence test on the second half of the losses. With ``b`` the least-squares slope
    through the means of 20 batches, ``s`` its standard error and ``n`` the number of losses,

    .. math:: (|b| + t_{confidence}\, s)\, n / 4 <
              \max(tolerance,\ noise\_fraction \cdot sd).

    The horizon of a quarter of the losses grows with the run: a steady descent, however slow,
    is seen in the end, while pure noise becomes as precise as asked and ends. The standard error
    is widened by the lag-one autocorrelation of the batch means, so that a wandering loss waits;
    losses beyond five robust standard deviations are pulled in, so that heavy tails end too.

    False alarms over 200 runs of up to 40,000 steps, noise of sd 1, a look every 200 steps: a
    descent of 1 per 1,000 steps was never called a plateau, one of 1 per 5,000 steps in 6 % of
    the runs, one of 1 per 20,000 steps in 92 % (less than ``noise_fraction`` asks for); a random
    walk never. White noise ended after 3,200 steps (1,600 to 7,600), Student-t noise with two
    degrees of freedom after 6,200. Autocorrelated noise takes longer in proportion to its
    autocorrelation time.
    An exponential approach ends at about twice the steps it took to come within the tolerance.

    Not for optimisers without noise that know their gradient, and not for losses that rest on a
    saddle before they fall again: raise ``min_steps`` above the rest.

    Args:
        tolerance: Change in nats that never matters.
        noise_fraction: The same as a fraction of the losses' standard deviation from step to
            step. Steps needed on white noise grow as its inverse square.
        confidence: One-sided level of the test.
        min_steps: Losses below which nothing is said; at least 40.

    Raises:
        ValueError: A setting is outside its range.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> step = np.arange(6000)
        >>> losses = 100 * np.exp(-step / 200) + rng.normal(size=6000)
        >>> Plateau()(losses[:1000]) is None
        True
        >>> print(Plateau()(losses))
        the loss has stopped falling (it moved by 0.015 nats, noise 1.01)

    References:
        Welandawe, Andersen, Vehtari, Huggins (2024), A framework for improving the reliability
        of black-box variational inference, JMLR 25(219).
        Chee, Toulis (2018), Convergence diagnostics for stochastic gradient descent with constant
        learning rate, AISTATS.
        Yaida (2019), Fluctuation-dissipation relations for stochastic gradient descent, ICLR.
    """

    tolerance: float = 0.01
    noise_fraction: float = 0.1
    confidence: float = 0.975
    min_steps: int = 200

    def __post_init__(self) -> None:
        if self.tolerance < 0 or self.noise_fraction < 0 or not 0.5 < self.confidence < 1:
            raise ValueError(
                f"{self}: tolerance and noise_fraction must not be negative and confidence lies "
                "between 0.5 and 1. Plateau() has settings that were measured."
            )
        if self.min_steps < 2 * _BATCHES:
            raise ValueError(
                f"{self}: min_steps must be at least {2 * _BATCHES}, or the batches are empty. "
                "Write Plateau(min_steps=200)."
            )

    def __call__(self, losses: np.ndarray) -> str | None:
        """Say why to stop, or None to go on.

        Args:
            losses: ``losses[step]`` since the start or since the last plateau.

        Returns:
            A reason with the numbers it rests on, or None.
        """
        if len(losses) < self.min_steps:
            return None
        size = len(losses) // 2 // _BATCHES
        window = _pull_in(np.asarray(losses[-size * _BATCHES :], dtype=np.float64))
        slope, error, noise = _fit_trend(window.reshape(_BATCHES, size))
        # Once in many steps; what needs it less often than it is imported imports it by itself.
        from scipy.special import stdtrit

        # The slope is per window, which is half of the losses; the horizon is half of that.
        change, error = slope / 2, error / 2
        bound = abs(change) + float(stdtrit(_BATCHES - 2, self.confidence)) * error
        if bound >= max(self.tolerance, self.noise_fraction * noise):
            return None
        return (
            f"the loss has stopped falling (it moved by {abs(change):.2g} nats, noise {noise:.3g})"
        )


def cap_phases(rule: Rule, most_steps: int, more: Callable[[], bool]) -> Rule:
    """The rule, with a limit on the steps of every phase that another one follows.

    A plateau that is never found must not keep the later phases from their steps.

    Args:
        rule: Asked where the limit is not reached.
        most_steps: The limit.
        more: Whether another phase follows the present one.

    Returns:
        ``rule(losses[step]) -> reason or None``, of the losses of the present phase.

    Example:
        >>> rule = cap_phases(Plateau(), 200, more=lambda: True)
        >>> rule(np.linspace(9.0, 0.0, 199)), rule(np.linspace(9.0, 0.0, 200))
        (None, '200 steps with one step size')
    """

    def capped(losses: np.ndarray) -> str | None:
        if more() and len(losses) >= most_steps:
            return f"{most_steps:,} steps with one step size"
        return rule(losses)

    return capped


def _pull_in(losses: np.ndarray) -> np.ndarray:
    """Clip to five robust standard deviations around the median."""
    low, middle, high = np.quantile(losses, [0.25, 0.5, 0.75])
    reach = 5 * (high - low) / _IQR_OF_NORMAL
    return np.clip(losses, middle - reach, middle + reach) if reach > 0 else losses


def _fit_trend(batches: np.ndarray) -> tuple[float, float, float]:
    """Slope per window, its standard error and the noise of single losses: [batch, step]."""
    means = batches.mean(axis=1)
    time = np.linspace(-0.5, 0.5, len(means))
    slope = (time @ means) / (time @ time)
    trend = means.mean() + slope * time
    rest = means - trend
    low, high = np.quantile(batches - trend[:, None], [0.25, 0.75])
    total = rest @ rest
    # Batches shorter than the autocorrelation time are not independent: widen as for an AR(1).
    rho = max(0.0, (rest[1:] @ rest[:-1]) / total) if total > 0 else 0.0
    variance = total / (len(means) - 2) * (1 + rho) / (1 - rho)
    return float(slope), float(np.sqrt(variance / (time @ time))), (high - low) / _IQR_OF_NORMAL
