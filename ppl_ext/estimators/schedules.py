"""The temperature of relaxed draws over the steps of a fit."""

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any

from ppl_ext.estimators.arguments import refuse

__all__ = ["ExponentialTemperature"]


@dataclass(frozen=True)
class ExponentialTemperature:
    r"""A temperature that falls by the same factor at each step, and then stays.

    .. math:: \tau_t = \tau_0 \, (\tau_1 / \tau_0)^{\min(t / T, 1)}

    A step may be a number or an array of the host, and the temperature is of the same kind. Where
    it is not to change, give a number in place of a schedule.

    Args:
        start: Temperature at step 0.
        end: Temperature from step ``steps`` on.
        steps: How many steps it takes.

    Raises:
        ValueError: A temperature is not positive and finite, or ``steps`` is not positive.

    Example:
        >>> schedule = ExponentialTemperature(start=4.0, end=1.0, steps=100)
        >>> schedule(0), schedule(50), schedule(1000)
        (4.0, 2.0, 1.0)
    """

    start: float = 1.0
    end: float = 0.5
    steps: int = 1000

    def __post_init__(self) -> None:
        for name, number in vars(self).items():
            if not 0 < number < math.inf:
                raise refuse(
                    "ExponentialTemperature",
                    f"{name} is {number}",
                    "a positive number",
                    f"ExponentialTemperature({name}=1).",
                )

    def __call__(self, step: Any) -> Any:
        """Return the temperature at a step."""
        share = step / self.steps
        share = min(max(share, 0.0), 1.0) if isinstance(step, Real) else share.clip(0.0, 1.0)
        return self.start * (self.end / self.start) ** share
