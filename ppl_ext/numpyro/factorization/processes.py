"""What processes tell each other outside the compiled sweep: a few numbers, and labels."""

from __future__ import annotations

import jax
import numpy as np
from jax.experimental import multihost_utils

__all__ = ["gather_numbers", "share_labels", "take_first"]


def gather_numbers(numbers: np.ndarray) -> np.ndarray:
    """Stack an array of every process, of one shape and type: ``[process, ...]``."""
    if jax.process_count() == 1:
        return np.asarray(numbers)[None]
    return np.asarray(multihost_utils.process_allgather(np.asarray(numbers)))


def take_first(numbers: np.ndarray) -> np.ndarray:
    """The array of the first process, so that rounding leads no two of them apart."""
    if jax.process_count() == 1:
        return numbers
    return np.asarray(multihost_utils.broadcast_one_to_all(numbers))


def share_labels(labels: np.ndarray) -> np.ndarray:
    """Agree on labels.

    Args:
        labels: ``[row]``, integers or text, those of this process.

    Returns:
        The labels as they are where all processes have the same, else all of them, sorted.

    Raises:
        ValueError: Some processes have integers and others text.
    """
    if jax.process_count() == 1:
        return labels
    text = labels.dtype.kind not in "iu"
    if text:
        labels = labels.astype(str)
        codes = labels.view(np.uint32).reshape(len(labels), -1)
    else:
        codes = labels.astype(np.int64).view(np.uint32).reshape(len(labels), -1)
    sizes = gather_numbers(np.array([*codes.shape, text], np.int64))
    if len(set(sizes[:, 2].tolist())) > 1:
        raise ValueError(
            "fit_on_devices: the items' labels are text in some processes and integers in others; "
            "expected one type. Read all parts with read_part(path), or pass item_ids= to each."
        )
    padded = np.zeros(sizes[:, :2].max(axis=0), np.uint32)
    padded[: len(codes), : codes.shape[1]] = codes
    every = [
        found[:length]
        for found, (length, _, _) in zip(gather_numbers(padded), sizes.tolist(), strict=True)
    ]
    wide = np.ascontiguousarray(np.concatenate(every))
    kind = f"<U{wide.shape[1]}" if text else np.int64
    decoded = wide.view(kind).ravel()
    pieces = np.split(decoded, np.cumsum([len(each) for each in every])[:-1])
    if all(np.array_equal(pieces[0], each) for each in pieces[1:]):
        return np.asarray(pieces[0])
    return np.unique(decoded)
