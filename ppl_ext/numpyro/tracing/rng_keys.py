"""Random keys: what is one, and the NumPy seed that comes of it."""

from typing import Any

import jax
import numpy as np

__all__ = ["check_rng_key", "seed_from"]


def check_rng_key(caller: str, rng_key: Any, line: str) -> None:
    """Refuse what is no random key of JAX, of either kind.

    Args:
        caller: What was called.
        rng_key: The key.
        line: The line that mends it.

    Raises:
        ValueError: It is something else.
    """
    typed = isinstance(rng_key, jax.Array) and jax.dtypes.issubdtype(
        rng_key.dtype, jax.dtypes.prng_key
    )
    raw = isinstance(rng_key, (jax.Array, np.ndarray)) and rng_key.dtype == np.uint32
    if not (raw and rng_key.ndim == 1) and not (typed and rng_key.ndim == 0):
        found = f"{rng_key}, a {type(rng_key).__name__}"
        if callable(rng_key) or isinstance(rng_key, (jax.Array, np.ndarray)):
            found = f"a {type(rng_key).__name__}"
        raise ValueError(
            f"{caller}: rng_key is {found}; expected one random key, such as jax.random.key(0). "
            f"Write {line}."
        )


def seed_from(rng_key: jax.Array) -> np.random.SeedSequence:
    """NumPy's seed of a key: computed without compiling anything."""
    data = rng_key
    if jax.dtypes.issubdtype(rng_key.dtype, jax.dtypes.prng_key):
        data = jax.random.key_data(rng_key)
    return np.random.SeedSequence([int(word) for word in np.ravel(data)])
