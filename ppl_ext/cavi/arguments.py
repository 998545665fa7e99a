"""Checks of data and parameters, before a model is made of them."""

from typing import Any

import numpy as np

__all__ = ["check_count", "check_finite", "check_positions", "check_positive"]


def check_finite(called: str, name: str, values: np.ndarray, axes: int) -> np.ndarray:
    """Refuse what is not an array of finite numbers.

    Args:
        called: What was called, for the message.
        name: The argument.
        values: Its value.
        axes: Number of axes that it has to have.

    Returns:
        The values in double precision.

    Raises:
        ValueError: There is a number that is not finite, or another number of axes.
    """
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != axes or not np.isfinite(found).all():
        bad = int(np.sum(~np.isfinite(found)))
        raise ValueError(
            f"{called}: {name} has the shape {found.shape} and {bad} numbers that are not finite; "
            f"expected {axes} axes and finite numbers. Drop rows with missing values first."
        )
    return found


def check_positive(called: str, **numbers: Any) -> None:
    """Refuse parameters that are not positive and finite.

    Args:
        called: What was called, for the message.
        **numbers: Numbers or arrays, by argument.

    Raises:
        ValueError: One of them is not.
    """
    for name, number in numbers.items():
        found = np.asarray(number)
        if not np.all((found > 0) & np.isfinite(found)):
            least = found.flat[int(np.argmin(np.where(np.isnan(found), -np.inf, found)))]
            raise ValueError(
                f"{called}: {name} is or holds {least:g}; expected positive, finite numbers. Give "
                f"it a value such as {name}=1.0."
            )


def check_count(called: str, **counts: Any) -> None:
    """Refuse counts that are no integers of at least 1.

    Args:
        called: What was called, for the message.
        **counts: The counts, by argument.

    Raises:
        ValueError: One of them is not.
    """
    for name, count in counts.items():
        if not isinstance(count, int | np.integer) or count < 1:
            raise ValueError(
                f"{called}: {name}={count!r}; expected an integer of at least 1. Write {name}=2."
            )


def check_positions(called: str, name: str, positions: Any) -> np.ndarray:
    """Refuse what are no positions: integers from 0.

    Args:
        called: What was called, for the message.
        name: The argument.
        positions: Its value.

    Returns:
        ``[entry]``.

    Raises:
        ValueError: These are none.
    """
    found = np.asarray(positions)
    if found.ndim != 1 or (found.size and (found.dtype.kind not in "iu" or found.min() < 0)):
        raise ValueError(
            f"{called}: {name} has the shape {found.shape} and the type {found.dtype}; expected "
            "one axis of integers from 0. Number the labels first: np.unique(labels, "
            "return_inverse=True)[1]."
        )
    return found
