"""Which arrays, and which of their rows, can be learned from."""

from collections import Counter
from collections.abc import Mapping

import numpy as np

__all__ = [
    "NOT_FINITE",
    "NOT_YET",
    "check_numbers",
    "count_piece_rows",
    "find_sound",
    "refuse_all_failed",
]

# Reasons for which rows are dropped, beside the errors of simulators.
NOT_FINITE = "'{}' is not finite"
NOT_YET = "not simulated yet"
_PIECE_BYTES = 1 << 20


def check_numbers(called: str, name: str, array: object) -> np.ndarray:
    """An array of real numbers with rows, or a refusal of anything else.

    Args:
        called: What a user called, for the message.
        name: The site.
        array: Its values.

    Returns:
        The array; a memory map as it is.

    Raises:
        TypeError: It is not made of real numbers of at most 64 bits.
        ValueError: It has no axis.
    """
    checked = array if isinstance(array, np.ndarray) else np.asarray(array)
    if checked.dtype.kind not in "biuf" or checked.dtype.itemsize > 8:
        raise TypeError(
            f"{called}: site '{name}' is of type {checked.dtype}; expected booleans, integers or "
            "floats of at most 64 bits. Turn labels into numbers: np.unique(x, "
            "return_inverse=True)[1]."
        )
    if not checked.ndim:
        raise ValueError(
            f"{called}: site '{name}' is one number; expected an array whose first axis counts "
            "simulations. Write np.array([x])."
        )
    return checked


def refuse_all_failed(called: str, rows: np.ndarray, dropped: Mapping[str, int]) -> None:
    """Say why there is nothing, where all simulations failed.

    Args:
        called: What a user called.
        rows: The sound rows.
        dropped: ``{reason: number of rows}``, the first reason first.

    Raises:
        ValueError: There is no sound row.

    Example:
        >>> refuse_all_failed("run_simulations", np.arange(0), {"ValueError: negative rate": 1000})
        Traceback (most recent call last):
            ...
        ValueError: run_simulations: all 1,000 simulations failed, 1,000 of them with: ValueError:
        negative rate; expected some that give finite values. Run the simulator on one draw by
        itself and see why.
    """
    if len(rows):
        return
    reason, count = next(iter(dropped.items()))
    raise ValueError(
        f"{called}: all {sum(dropped.values()):,} simulations failed, {count:,} of them "
        f"with: {reason}; expected some that give finite values. Run the simulator on one draw by "
        "itself and see why."
    )


def find_sound(arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray | None, Counter[str]]:
    """Find the rows that are finite in all sites, piece by piece.

    Args:
        arrays: ``{site: array[row, ...]}``.

    Returns:
        Their indices, None where it is all of them; and ``{reason: number of other rows}``.

    Example:
        >>> find_sound({"mu": np.array([1.0, np.inf]), "y": np.array([1, 2])})
        (array([0]), Counter({"'mu' is not finite": 1}))
    """
    num_rows = len(next(iter(arrays.values())))
    sound, counts = np.ones(num_rows, dtype=bool), Counter[str]()
    step = count_piece_rows(arrays)
    for name, array in arrays.items():
        if array.dtype.kind != "f":
            continue
        for start in range(0, num_rows, step):
            piece = np.asarray(array[start : start + step])
            finite = np.isfinite(piece.reshape(len(piece), -1)).all(axis=1)
            here = sound[start : start + step]
            if not finite.all():
                counts[NOT_FINITE.format(name)] += int((here & ~finite).sum())
            here &= finite
    return (None if sound.all() else np.flatnonzero(sound)), +counts


def count_piece_rows(arrays: Mapping[str, np.ndarray]) -> int:
    """Rows that make about a megabyte.

    Args:
        arrays: ``{site: array[row, ...]}``.

    Returns:
        Their number, one at least.

    Example:
        >>> count_piece_rows({"y": np.zeros((2, 128))})
        1024
    """
    row_bytes = sum(array[:1].nbytes for array in arrays.values())
    return max(1, _PIECE_BYTES // max(1, row_bytes))
