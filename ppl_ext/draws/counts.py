"""Values of discrete sites as integers, whatever type a host keeps them in."""

from collections.abc import Iterable, Mapping

import numpy as np

__all__ = ["read_counts"]


def read_counts(
    discrete: Iterable[str], values: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Values by site, those of discrete sites as integers: ArviZ counts integers alone.

    Args:
        discrete: Names of the discrete sites.
        values: ``{site: array}``, those of other sites among them.

    Returns:
        The same; what is missing (NaN) or relaxed (between the integers) stays as it is.
    """
    read = dict(values)
    for name in discrete:
        array = read.get(name)
        if array is not None and np.array_equal(array, np.round(array)):
            read[name] = array.astype(np.int64)
    return read
