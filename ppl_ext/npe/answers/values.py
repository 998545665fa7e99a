"""Values and data as they are asked about, in the shapes and types of the model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["as_drawn", "flatten_values"]


def flatten_values(
    values: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], count: int | None
) -> dict[str, np.ndarray]:
    """Values of all draws in a row, ``{site: array[observation * draw, ...]}``.

    Args:
        values: ``{site: array[draw, ...]}``, for many observations an axis of them before it.
        shapes: Shapes of the sites of interest.
        count: Number of observations; None for one without an axis of its own.

    Raises:
        ValueError: A site is missing, or has another shape.

    Example:
        >>> flatten_values({"mu": np.zeros((5, 7))}, {"mu": ()}, 5)["mu"].shape
        (35,)
    """
    lead = "draw" if count is None else f"{count} observations, draw"
    flat: dict[str, np.ndarray] = {}
    leads: set[tuple[int, ...]] = set()
    for name, shape in shapes.items():
        # What is not there has no shape that fits.
        x = np.asarray(values.get(name, np.empty((0, 0, 0, *shape))))
        # A single draw may come without its axis.
        x = x[None] if count is None and x.shape == shape else x
        given = x.shape[: x.ndim - len(shape)]
        whole = len(given) == 1 if count is None else len(given) == 2 and given[0] == count
        if not whole or x.shape[len(given) :] != shape:
            found = f"has shape {x.shape}" if name in values else "is missing"
            expected = ", ".join([lead, *map(str, shape)])
            raise ValueError(
                f"NeuralPosterior.log_prob: site '{name}' {found}; expected [{expected}], as "
                f"sample() gives it. Write posterior.log_prob({{'{name}': ..., ...}})."
            )
        leads.add(given)
        flat[name] = x.reshape(math.prod(given), *shape)
    if len(leads) > 1:
        raise ValueError(
            f"NeuralPosterior.log_prob: the sites have different numbers of draws, "
            f"{sorted(leads)}; expected the same for all of them. Give each site as many."
        )
    return flat


def as_drawn(site: str, x: np.ndarray, dtype: np.dtype, discrete: bool = False) -> np.ndarray:
    """Data in the type in which the model draws them.

    The data that the model was given show their shape alone, and zeros may be whole numbers where
    the model draws others.

    Args:
        site: Name of the observed site.
        x: Its data.
        dtype: Type in which the model draws them.
        discrete: Whether the model draws whole numbers, in whatever type.

    Raises:
        ValueError: The model draws whole numbers, and the data are others.

    Example:
        >>> as_drawn("y", np.array([1.0, 2.0]), np.dtype(np.int32), discrete=True).tolist()
        [1, 2]
    """
    found = x.astype(dtype)
    broken = (x != np.round(x)) if discrete else np.zeros(x.shape, bool)
    if broken.any():
        first = x[broken].flat[0]
        raise ValueError(
            f"NPE.posterior: observed site '{site}' has the value {first}; expected whole "
            f"numbers, such as the model draws. Write npe.posterior({{'{site}': x.round()}})."
        )
    return found
