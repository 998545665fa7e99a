"""A model that keeps what it read when it was bound.

A fit traces programs long after it was made, and would read what has changed since. JAX makes it
worse: it remembers the buffer that it once made of a NumPy array, and hands the old one out when
the array was changed in place, or in float32 where float64 is on.
"""

from typing import Any

import jax
from numpyro.primitives import Messenger

from ppl_ext.closures.snapshot import Snapshots

__all__ = ["take_snapshot"]

_SNAPSHOTS = Snapshots(
    kept=(jax.Array, jax.core.Tracer), arrays=(jax.Array,), handlers=(Messenger,)
)


def take_snapshot(value: Any) -> Any:
    """The value with copies of the arrays, frames and numbers that it reads or holds."""
    return _SNAPSHOTS.take(value)
