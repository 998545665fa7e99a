"""Arrays of JAX as arrays of NumPy."""

from typing import Any

import jax
import numpy as np

__all__ = ["to_numpy"]


def to_numpy(tree: Any, rows: int = 1) -> Any:
    """The first rows of every array of a tree, floats in float64."""

    def convert(leaf):
        array = np.asarray(leaf)[:rows]
        return array.astype(np.float64) if array.dtype.kind == "f" else array

    return jax.tree.map(convert, tree)
