"""Checks of data, before a model is made of them."""

import numpy as np

__all__ = ["check_finite"]


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
