"""Data drawn from the distributions of a model's observed sites."""

from collections.abc import Iterable, Mapping
from typing import Any

import jax

__all__ = ["draw_data"]


def draw_data(
    trace: Mapping[str, Any], names: Iterable[str], rng_key: jax.Array
) -> dict[str, jax.Array]:
    """Draw the data of a run, given its latent values.

    Args:
        trace: The run.
        names: Names of the observed sites.
        rng_key: Random key.

    Returns:
        For each site a draw of the shape of its distribution.

    Raises:
        ValueError: The host cannot draw counts, whose totals are arrays, inside of a program.
    """
    drawn = {}
    for i, name in enumerate(names):
        fn = trace[name]["fn"]
        try:
            drawn[name] = fn.sample(jax.random.fold_in(rng_key, i))
        except ValueError as error:
            if "total_count_max" not in str(error):
                raise
            raise ValueError(
                f"draws: the data of site {name!r} ({type(fn).__name__}) cannot be predicted: its "
                "total_count is an array, and the host draws counts in a compiled program only "
                "where their largest total is a number. Say it where the model makes the "
                "distribution: total_count_max=int(total_count.max()), reckoned outside of the "
                "model."
            ) from error
    return drawn
