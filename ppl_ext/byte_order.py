"""Arrays of another machine's byte order, as HDF5, FITS and NetCDF files keep them."""

from typing import Any

import numpy as np

__all__ = ["to_native"]


def to_native(value: Any) -> Any:
    """Arguments with NumPy arrays in this machine's byte order, which the hosts ask for.

    Args:
        value: An array, anything else, or tuples, lists and dictionaries of such.

    Returns:
        The same, with arrays of the other order copied.

    Example:
        >>> to_native((np.arange(2, dtype=">i4"), "text"))[0].dtype.isnative
        True
    """
    if type(value) in (list, tuple):
        return type(value)(map(to_native, value))
    if type(value) is dict:
        return {key: to_native(each) for key, each in value.items()}
    if isinstance(value, np.ndarray) and not value.dtype.isnative:
        return value.astype(value.dtype.newbyteorder("="))
    return value
