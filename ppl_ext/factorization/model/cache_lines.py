"""Arrays that start where a line of the cache starts.

A vector of 64 bytes that lies across two lines is read twice, and NumPy promises 16 bytes.
"""

import numpy as np

__all__ = ["zeros_on_lines"]

_LINE = 64  # bytes


def zeros_on_lines(shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
    """Zeros, as of `numpy.zeros`.

    Args:
        shape: The shape.
        dtype: The type.

    Returns:
        The array, C-contiguous.

    Example:
        >>> zeros_on_lines((3, 5), np.float32).ctypes.data % 64
        0
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.zeros(size + _LINE, np.uint8)
    start = -memory.ctypes.data % _LINE
    return memory[start : start + size].view(dtype).reshape(shape)
