"""What stands for a seed."""

from typing import Any

import numpy as np

__all__ = ["make_generator"]


def make_generator(seed: Any, *, also: str = "") -> np.random.Generator:
    """NumPy's generator from a seed.

    Args:
        seed: A whole number from 0 on, or a generator, which is used as it is.
        also: What else the caller takes, for the message.

    Returns:
        The generator.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(seed, np.random.Generator):
        return seed
    whole = isinstance(seed, (int, np.integer)) and not isinstance(seed, bool)
    if whole and seed >= 0:
        return np.random.default_rng(seed)
    found = type(seed).__name__
    if isinstance(seed, (str, bool, int, float)):
        found = f"{seed!r} ({found})"
    raise ValueError(
        f"Draws.resample: seed is {found}; expected a whole number from 0 on, {also}or nothing. "
        "Write draws.resample(0), or draws.resample()."
    )
