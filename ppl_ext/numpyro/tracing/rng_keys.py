"""Random keys: what is one, whether it has a value, and the NumPy seed that comes of it."""

from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from ppl_ext.draws import seeds

__all__ = ["check_rng_key", "make_generator", "refuse_traced", "seed_from", "whole_seed_from"]


def _is_rng_key(value: Any) -> bool:
    """Whether a value is one random key, typed or raw."""
    if not isinstance(value, (jax.Array, np.ndarray)):
        return False
    if jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
        return value.ndim == 0
    return value.dtype == np.uint32 and value.ndim == 1


def check_rng_key(caller: str, rng_key: Any, line: str) -> None:
    """Refuse what is no random key of JAX, of either kind.

    Args:
        caller: What was called.
        rng_key: The key.
        line: The line that mends it.

    Raises:
        ValueError: It is something else.
    """
    if not _is_rng_key(rng_key):
        found = f"{rng_key}, a {type(rng_key).__name__}"
        if callable(rng_key) or isinstance(rng_key, (jax.Array, np.ndarray)):
            found = f"a {type(rng_key).__name__}"
        raise ValueError(
            f"{caller}: rng_key is {found}; expected one random key, such as jax.random.key(0). "
            f"Write {line}."
        )


def refuse_traced(caller: str, arrays: Iterable[Any]) -> None:
    """Refuse keys and data without values: those of a program that is being traced.

    Args:
        caller: What was called.
        arrays: The key and the data.

    Raises:
        ValueError: One of them is traced.
    """
    if any(isinstance(array, jax.core.Tracer) for array in arrays):
        raise ValueError(
            f"{caller}: the random key or the data are traced: it was called inside of jax.jit, "
            "vmap, grad or scan, or inside of a model that is being fitted; expected arrays with "
            "values, for a fit decides by them when it ends. Fit outside, and pass the result in: "
            "fit.params, or fit.draws(rng_key).values."
        )


def seed_from(rng_key: jax.Array) -> np.random.SeedSequence:
    """NumPy's seed of a key: computed without compiling anything."""
    data = rng_key
    if jax.dtypes.issubdtype(rng_key.dtype, jax.dtypes.prng_key):
        data = jax.random.key_data(rng_key)
    return np.random.SeedSequence([int(word) for word in np.ravel(data)])


def whole_seed_from(rng_key: jax.Array) -> int:
    """A whole number from a key, for what takes no other seed."""
    return int(seed_from(rng_key).generate_state(1)[0])


def make_generator(seed: Any) -> np.random.Generator:
    """NumPy's generator from a random key, or from what the hall takes for a seed."""
    if _is_rng_key(seed):
        return np.random.default_rng(seed_from(seed))
    return seeds.make_generator(seed, also="a random key such as jax.random.key(0), ")
