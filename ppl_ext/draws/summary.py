"""The elements of draws by name, with their means, standard deviations and quantiles."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from ppl_ext.markup import render_sentence, render_table

__all__ = ["list_elements", "render_summary"]

_HEADS = ("element", "mean", "sd", "5 %", "50 %", "95 %")
_QUANTILES = (0.05, 0.5, 0.95)


def list_elements(
    values: Mapping[str, np.ndarray],
    dims: Mapping[str, Sequence[str]],
    coords: Mapping[str, Sequence[Any]],
) -> Iterator[tuple[str, np.ndarray]]:
    """The elements of all sites one by one, each under a name such as ``theta[Choate]``.

    Args:
        values: ``{site: array[draw, ...]}``.
        dims: ``{site: names}`` of the leading axes of a value.
        coords: ``{dimension: labels}``.

    Yields:
        A name and ``[draw]`` values.

    Example:
        >>> values = {"mu": np.zeros(4), "theta": np.zeros((4, 2))}
        >>> found = list_elements(values, {"theta": ("school",)}, {"school": ["A", "B"]})
        >>> [name for name, _ in found]
        ['mu', 'theta[A]', 'theta[B]']
    """
    for site, array in values.items():
        labels = [coords.get(dim) for dim in dims.get(site, ())]
        labels += [None] * (array.ndim - 1 - len(labels))
        for index in np.ndindex(*array.shape[1:]):
            words = [
                str(at if own is None else own[at]) for own, at in zip(labels, index, strict=False)
            ]
            yield f"{site}[{', '.join(words)}]" if words else site, array[(slice(None), *index)]


def render_summary(
    values: Mapping[str, np.ndarray],
    dims: Mapping[str, Sequence[str]],
    coords: Mapping[str, Sequence[Any]],
    most: int,
) -> tuple[str, ...]:
    """Means, standard deviations and quantiles of elements, as a table in HTML.

    Args:
        values: ``{site: array[draw, ...]}``.
        dims: ``{site: names}`` of the leading axes of a value.
        coords: ``{dimension: labels}``.
        most: How many elements to describe at most; the others are not looked at.

    Returns:
        The table and, where elements are left out, a sentence that says so.

    Example:
        >>> table, left = render_summary({"mu": np.zeros((4, 3))}, {}, {}, most=2)
        >>> left
        '<p>The first 2 of 3 elements.</p>'
    """
    rows = []
    for name, column in islice(list_elements(values, dims, coords), most):
        draws = np.asarray(column, dtype=np.float64)
        with np.errstate(all="ignore"):  # infinite draws have no mean, and say so by NaN
            figures = (draws.mean(), draws.std(), *np.quantile(draws, _QUANTILES))
        rows.append((name, *(f"{figure:,.4g}" for figure in figures)))
    table = render_table(rows, _HEADS, words=1)
    count = sum(math.prod(array.shape[1:]) for array in values.values())
    if count <= most:
        return (table,)
    return table, render_sentence(f"The first {most:,} of {count:,} elements.")
