"""Values and data as they are asked about, in the shapes and types of the model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ppl_ext.npe.features import ObservedSite

__all__ = ["as_drawn", "check_observation", "flatten_values"]


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


def check_observation(
    given: object, sites: Sequence[ObservedSite], missing: bool
) -> tuple[dict[str, np.ndarray], bool]:
    """One observation or many, as ``{site: array[observation, ...]}``.

    Args:
        given: ``{site: array}``, or the array alone where there is one site.
        sites: The observed sites.
        missing: Whether values and rows may be missing.

    Returns:
        The observations, and whether there was an axis for them.

    Raises:
        ValueError: A site is missing or unknown, of another shape, or not finite, or nothing
            is seen.

    Example:
        >>> site = ObservedSite("y", (4,), set_axis=0)
        >>> observed, many = check_observation(np.zeros((10, 4)), [site], missing=False)
        >>> observed["y"].shape, many
        ((10, 4), True)
    """
    names = [site.name for site in sites]
    if not isinstance(given, Mapping):
        given = {names[0]: given} if len(names) == 1 else {}
    if set(given) != set(names):
        raise ValueError(
            f"NPE.posterior: the observation has the sites {sorted(given)}; expected {names}. "
            f"Write npe.posterior({{'{names[0]}': ...}})."
        )
    found, counts = {}, set()
    for site in sites:
        value = np.asarray(given[site.name], float)
        many = value.ndim == len(site.shape) + 1
        found[site.name] = _check_site(value if many else value[None], site, missing, value.shape)
        counts.add((len(found[site.name]), many))
    if len(counts) > 1 or (0, True) in counts:
        raise ValueError(
            f"NPE.posterior: the sites have {sorted(count for count, _ in counts)} observations; "
            "expected one at least, and the same number for all of them. Give each site as many "
            "rows."
        )
    seen = sum(np.isfinite(x).reshape(len(x), -1).sum(1) for x in found.values())
    if not np.all(seen):
        raise ValueError(
            f"NPE.posterior: observation {int(np.argmin(seen))} holds no value; expected one at "
            "least. Leave it out: without data the posterior is the prior."
        )
    return found, counts.pop()[1]


def _check_site(
    value: np.ndarray, site: ObservedSite, missing: bool, given: tuple[int, ...]
) -> np.ndarray:
    """Data of one site, rows that lack filled with NaN."""
    axis = site.set_axis
    if missing and axis is not None and value.ndim == len(site.shape) + 1:
        lacking = max(0, site.rows - value.shape[axis + 1])
        ends = [(0, lacking * (each == axis + 1)) for each in range(value.ndim)]
        value = np.pad(value, ends, constant_values=np.nan)
    if value.shape[1:] != site.shape:
        fewer = " Fewer rows are read by a network that was made with missing=True."
        raise ValueError(
            f"NPE.posterior: observed site '{site.name}' has shape {given}; expected "
            f"{site.shape}, or one more axis in front for many observations. Give it that shape."
            f"{fewer * (axis is not None)}"
        )
    bad = int((~np.isfinite(value)).sum())
    if bad and not missing:
        raise ValueError(
            f"NPE.posterior: observed site '{site.name}' has {bad} values that are not finite; "
            "expected none. Train a network for missing values: NPE(model, ..., missing=True)."
        )
    return value
