"""Schedules of the temperature over the steps of a fit."""

import math
from dataclasses import dataclass

import torch

from ppl_ext.pyro.gumbel.arguments import refuse

__all__ = ["ConstantTemperature", "ExponentialTemperature", "LinearTemperature"]


@dataclass(frozen=True)
class ConstantTemperature:
    """The same temperature at every step.

    Args:
        value: The temperature; 0.5 to 1 suits about ten classes.

    Raises:
        ValueError: It is not positive and finite.

    Example:
        >>> ConstantTemperature(0.5)(100)
        0.5
    """

    value: float = 0.5

    def __post_init__(self) -> None:
        _check("ConstantTemperature", value=self.value)

    def __call__(self, step: int | torch.Tensor) -> float:
        """Return the temperature at a step."""
        return self.value


@dataclass(frozen=True)
class ExponentialTemperature:
    r"""A temperature that falls by the same factor at each step, and then stays.

    .. math:: \tau_t = \tau_0 \, (\tau_1 / \tau_0)^{\min(t / T, 1)}

    Args:
        start: Temperature at step 0.
        end: Temperature from step ``steps`` on.
        steps: How many steps it takes.

    Raises:
        ValueError: A temperature is not positive and finite, or ``steps`` is not positive.

    Example:
        >>> schedule = ExponentialTemperature(start=4.0, end=1.0, steps=100)
        >>> float(schedule(0)), float(schedule(50)), float(schedule(1000))
        (4.0, 2.0, 1.0)
    """

    start: float = 1.0
    end: float = 0.5
    steps: int = 1000

    def __post_init__(self) -> None:
        _check("ExponentialTemperature", start=self.start, end=self.end, steps=self.steps)

    def __call__(self, step: int | torch.Tensor) -> float | torch.Tensor:
        """Return the temperature at a step."""
        return self.start * (self.end / self.start) ** _share(step, self.steps)


@dataclass(frozen=True)
class LinearTemperature:
    r"""A temperature that falls by the same amount at each step, and then stays.

    .. math:: \tau_t = \tau_0 + (\tau_1 - \tau_0) \min(t / T, 1)

    Args:
        start: Temperature at step 0.
        end: Temperature from step ``steps`` on.
        steps: How many steps it takes.

    Raises:
        ValueError: A temperature is not positive and finite, or ``steps`` is not positive.

    Example:
        >>> schedule = LinearTemperature(start=5.0, end=1.0, steps=100)
        >>> float(schedule(0)), float(schedule(50)), float(schedule(1000))
        (5.0, 3.0, 1.0)
    """

    start: float = 1.0
    end: float = 0.5
    steps: int = 1000

    def __post_init__(self) -> None:
        _check("LinearTemperature", start=self.start, end=self.end, steps=self.steps)

    def __call__(self, step: int | torch.Tensor) -> float | torch.Tensor:
        """Return the temperature at a step."""
        return self.start + (self.end - self.start) * _share(step, self.steps)


def _share(step, steps):
    if isinstance(step, torch.Tensor):
        return (step / steps).clamp(0.0, 1.0)
    return min(max(step / steps, 0.0), 1.0)


def _check(called, **numbers):
    for name, number in numbers.items():
        if not 0 < number < math.inf:
            raise refuse(
                called, f"{name} is {number}", "a positive number", f"{called}({name}=1)."
            )
