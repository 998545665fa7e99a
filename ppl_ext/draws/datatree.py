"""Named arrays of draws as an ``xarray.DataTree`` in ArviZ's layout, the same for every method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ppl_ext import __version__

if TYPE_CHECKING:
    import xarray

__all__ = ["build_tree"]

_SAMPLE_DIMS = ("chain", "draw")


def build_tree(
    posterior: Mapping[str, np.ndarray],
    *,
    chains: int = 1,
    sample_stats: Mapping[str, np.ndarray] | None = None,
    log_likelihood: Mapping[str, np.ndarray] | None = None,
    weighted_log_likelihood: Mapping[str, np.ndarray] | None = None,
    posterior_predictive: Mapping[str, np.ndarray] | None = None,
    observed: Mapping[str, np.ndarray] | None = None,
    dims: Mapping[str, Sequence[str]] | None = None,
    coords: Mapping[str, Sequence[Any]] | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> xarray.DataTree:
    """Arrange draws as ArviZ wants them: dimensions ``(chain, draw, plates..., event...)``.

    Works alike with arviz-base 0.8 and 1.x and needs neither; every ArviZ plot and statistic takes
    the result. A site without names in ``dims`` gets ``{site}_dim_0`` and so on, as ArviZ itself
    would call them. A slash in the name of a site or dimension, which a tree reads as a path,
    becomes a dot.

    Not for draws of different models: one tree holds one posterior.

    Args:
        posterior: ``{site: array[draw, ...]}``, all chains stored one after the other.
        chains: Number of chains (or independent fits) among the draws.
        sample_stats: ``{name: array[draw, ...]}``, for instance ``lp``.
        log_likelihood: ``{observed site: array[draw, ...]}``.
        weighted_log_likelihood: The same of sites whose data are scaled, times their weights.
        posterior_predictive: ``{observed site: array[draw, ...]}``.
        observed: ``{site: array}``, no draw axis.
        dims: ``{site: names}`` of the leading axes after the draw axis; valid in every group.
        coords: ``{dimension: labels}``; 0, 1, ... where not given.
        attrs: Attributes of the tree and its posterior, beside ``ppl_ext_version``.

    Returns:
        A tree with one group for every argument that holds something.

    Raises:
        ValueError: A name stands for two things, a dimension has two sizes, labels do not fit, or
            the draws cannot be divided into chains. The message names site and dimension.

    Example:
        >>> tree = build_tree(
        ...     {"mu": np.zeros(6), "theta": np.zeros((6, 3))},
        ...     chains=2,
        ...     dims={"theta": ("school",)},
        ...     coords={"school": ["a", "b", "c"]},
        ... )
        >>> dict(tree["posterior"]["theta"].sizes)
        {'chain': 2, 'draw': 3, 'school': 3}
    """
    import xarray

    dims = {site: [_flatten(name) for name in names] for site, names in (dims or {}).items()}
    coords = {_flatten(name): labels for name, labels in (coords or {}).items()}
    given = {
        "posterior": posterior,
        "sample_stats": sample_stats,
        "log_likelihood": log_likelihood,
        "weighted_log_likelihood": weighted_log_likelihood,
        "posterior_predictive": posterior_predictive,
        "observed_data": observed,
    }
    groups: dict[str, xarray.Dataset] = {}
    for group, arrays in given.items():
        if arrays is None or (not arrays and group != "posterior"):
            continue
        variables: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
        for site, array in arrays.items():
            values = np.asarray(array)
            sample_dims: tuple[str, ...] = ()
            if group != "observed_data":
                values = _split_chains(group, site, values, chains)
                sample_dims = _SAMPLE_DIMS
            shape = values.shape[len(sample_dims) :]
            names = _name_dims(group, site, shape, tuple(dims.get(site, ())))
            name = _flatten(site)
            if name in variables:
                raise ValueError(
                    f"build_tree: two sites of group '{group}' are both called '{name}' once '/' "
                    "is written as '.', since a tree has no '/' in names. Rename one in the model."
                )
            variables[name] = (sample_dims + names, values)
        groups[group] = xarray.Dataset(variables, coords=_label_dims(group, variables, coords))
    _check_labels_used(groups, coords)
    tree_attrs = {"ppl_ext_version": __version__, **(attrs or {})}
    groups["posterior"].attrs.update(tree_attrs)
    tree = xarray.DataTree.from_dict(groups)
    tree.attrs.update(tree_attrs)
    return tree


def _flatten(name: str) -> str:
    return name.replace("/", ".")


def _split_chains(group: str, site: str, values: np.ndarray, chains: int) -> np.ndarray:
    if values.ndim == 0 or values.shape[0] == 0 or values.shape[0] % chains:
        raise ValueError(
            f"build_tree: '{site}' in group '{group}' has shape {values.shape}; expected "
            f"[draw, ...] with a number of draws that {chains} chain(s) can share equally."
        )
    return values.reshape(chains, values.shape[0] // chains, *values.shape[1:])


def _name_dims(
    group: str, site: str, shape: tuple[int, ...], given: tuple[str, ...]
) -> tuple[str, ...]:
    """Names for every axis of one value, the given ones first."""
    if group.endswith("log_likelihood"):
        # Event axes are summed in a log density, so it may have fewer axes than its site.
        given = given[: len(shape)]
    if len(given) > len(shape):
        raise ValueError(
            f"build_tree: dims['{site}'] names {given}, but a value of '{site}' in group "
            f"'{group}' has shape {shape}. Give at most one name for each axis."
        )
    names = given + tuple(f"{_flatten(site)}_dim_{axis}" for axis in range(len(given), len(shape)))
    if len(set(names)) < len(names):
        raise ValueError(
            f"build_tree: dims['{site}'] names {given}: two axes cannot share a name. "
            "Rename one of the plates."
        )
    return names


def _label_dims(
    group: str,
    variables: Mapping[str, tuple[tuple[str, ...], np.ndarray]],
    coords: Mapping[str, Sequence[Any]],
) -> dict[str, Any]:
    """Labels of every dimension in a group, after a check that the names mean one thing each."""
    sizes: dict[str, tuple[int, str]] = {}
    for site, (names, values) in variables.items():
        own = names if group == "observed_data" else names[2:]
        for name in own:
            if name in _SAMPLE_DIMS:
                raise ValueError(
                    f"build_tree: site '{site}' has a dimension called '{name}', which ArviZ "
                    "keeps for the draws. Rename that plate."
                )
        for name, size in zip(names, values.shape, strict=True):
            known, first = sizes.setdefault(name, (size, site))
            if known != size:
                raise ValueError(
                    f"build_tree: dimension '{name}' has size {known} in site '{first}' and "
                    f"{size} in site '{site}' (group '{group}'). One name has one size: rename "
                    "a plate, or broadcast the smaller value."
                )
    for site in variables:
        if site in sizes or site in _SAMPLE_DIMS:
            raise ValueError(
                f"build_tree: '{site}' names a site and a dimension of group '{group}'; xarray "
                "would lose the site. Rename the plate or the site."
            )
    labels: dict[str, Any] = {}
    for name, (size, site) in sizes.items():
        labels[name] = np.asarray(coords[name]) if name in coords else np.arange(size)
        if labels[name].shape != (size,):
            raise ValueError(
                f"build_tree: coords['{name}'] has shape {labels[name].shape}, but '{name}' has "
                f"size {size} in site '{site}'. Give one label for each entry."
            )
    return labels


def _check_labels_used(groups: Mapping[str, xarray.Dataset], coords: Mapping[str, Any]) -> None:
    known = {str(name) for dataset in groups.values() for name in dataset.dims}
    if unused := sorted(set(coords) - known):
        raise ValueError(
            f"build_tree: coords names {unused}, but the dimensions are {sorted(known)}. "
            "Check the spelling, or name the axes in dims."
        )
