"""Arrays in ``.npy`` files that are made at full size, written piece by piece, and can grow."""

from __future__ import annotations

import tokenize
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

__all__ = ["create_array_file", "grow_array_file", "map_array_file", "sum_rows", "write_rows"]

# What NumPy raises for a header that is damaged, which it reads as Python spells tuples.
_DAMAGED = (
    OSError,
    ValueError,
    EOFError,
    OverflowError,
    RecursionError,
    StopIteration,
    TypeError,
    tokenize.TokenError,
)


def create_array_file(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Make a file of zeros, which takes no room before it is written to.

    Args:
        path: Where; what is there is replaced.
        shape: Shape of the array; the first axis counts rows.
        dtype: Its type.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "y.npy")
        ...     create_array_file(path, (2, 3), np.dtype(float))
        ...     grow_array_file(path, 4)
        ...     with path.open("r+b") as file:
        ...         write_rows(file, 3, np.ones((1, 3)))
        ...     np.load(path).sum(axis=1).tolist()
        [0.0, 0.0, 0.0, 3.0]
    """
    with path.open("wb") as file:
        _write_header(file, shape, dtype)
        file.truncate(file.tell() + _count_bytes(shape, dtype))


def grow_array_file(path: Path, num_rows: int) -> None:
    """Add rows of zeros.

    Args:
        path: The file.
        num_rows: Rows that it is to have; one that has them already stays as it is.
    """
    with path.open("r+b") as file:
        try:
            shape, dtype, start = _read_header(file)
        except _DAMAGED as error:
            raise _refuse_damaged("run_simulations", path, str(error)) from error
        if shape[0] >= num_rows:
            return
        shape = (num_rows, *shape[1:])
        # Room first: a header that promises more than there is would be no array.
        try:
            file.truncate(start + _count_bytes(shape, dtype))
        except OSError as error:
            raise OSError(
                error.errno,
                f"run_simulations: '{path}' cannot grow ({error.strerror}), and its rows are as "
                "they were; expected room on its disk. Make some, or choose another folder",
            ) from error
        file.seek(0)
        _write_header(file, shape, dtype)  # NumPy leaves space for any number of rows
        if file.tell() != start:
            raise ValueError(
                f"run_simulations: '{path}' was written with a header that cannot grow; expected "
                "one of NumPy 1.25 or later. Simulate into another folder."
            )


def map_array_file(
    called: str, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> np.ndarray:
    """Map a file into memory, to read from.

    Args:
        called: What a user called, for the message.
        path: The file.
        shape: What it has to hold; it may hold more rows.
        dtype: Their type.

    Returns:
        The rows.

    Raises:
        ValueError: It is missing or holds something else.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except _DAMAGED as error:
        raise _refuse_damaged(called, path, str(error)) from error
    if array.shape[1:] != shape[1:] or len(array) < shape[0] or array.dtype != dtype:
        found = f"it holds {array.dtype} of shape {array.shape}, not {dtype} of shape {shape}"
        raise _refuse_damaged(called, path, found)
    rows: np.ndarray = array[: shape[0]]
    return rows


def write_rows(file: BinaryIO, first_row: int, rows: np.ndarray) -> None:
    """Write rows to their place.

    Args:
        file: The file, open for reading and writing in binary.
        first_row: Number of the first of them.
        rows: The rows, of the type of the file.
    """
    file.seek(0)
    _, _, start = _read_header(file)
    file.seek(start + first_row * _count_bytes((1, *rows.shape[1:]), rows.dtype))
    # Not through a map: a full disk is an error here, and the end of the process there.
    file.write(np.ascontiguousarray(rows).tobytes())


def sum_rows(total: int, rows: np.ndarray) -> int:
    """Go on with a checksum.

    Args:
        total: The checksum of what comes before; 0 for nothing.
        rows: What comes now.

    Returns:
        The checksum of both.

    Example:
        >>> sum_rows(sum_rows(0, np.zeros(2)), np.ones(1)) == sum_rows(0, np.array([0.0, 0, 1]))
        True
    """
    return zlib.crc32(np.ascontiguousarray(rows).tobytes(), total)


def _count_bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    size = dtype.itemsize
    for length in shape:
        size *= length
    return size


def _write_header(file: BinaryIO, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _read_header(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Shape, type, and where the data begin."""
    np.lib.format.read_magic(file)
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    return shape, dtype, file.tell()


def _refuse_damaged(called: str, path: Path, why: str) -> ValueError:
    return ValueError(
        f"{called}: '{path}' is missing, cut off or damaged ({why}); expected what "
        "run_simulations wrote. Copy the folder again, or simulate into another one."
    )
