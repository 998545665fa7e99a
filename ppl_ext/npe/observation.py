"""What is asked of names and observations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ppl_ext.npe.features import ObservedSite
from ppl_ext.simulation import Simulations

__all__ = [
    "check_observation",
    "choose_names",
    "choose_sites",
    "flatten_sites",
    "take_one",
    "take_table",
]


def choose_names(
    names: str | Sequence[str] | None, argument: str, known: Sequence[str]
) -> list[str]:
    """The sites that an argument names, in the order of the model.

    Args:
        names: What was given; None for all.
        argument: The argument.
        known: Sites that may be named.

    Raises:
        ValueError: A name is not known, or there is none.

    Example:
        >>> choose_names(None, "observed", ["y"])
        ['y']
    """
    chosen = list(known) if names is None else [names] if isinstance(names, str) else list(names)
    unknown = [name for name in chosen if name not in known]
    if unknown or not chosen:
        found = f"'{unknown[0]}'" if unknown else "no site"
        cure = f"Write {argument}={list(known)[:1]}." if known else "Pass data: obs=y."
        raise ValueError(
            f"NPE: {argument} names {found}; expected some of the model's {argument} sites, "
            f"{list(known)}. {cure}"
        )
    return [name for name in known if name in chosen]


def choose_sites(
    names: str | Sequence[str] | None,
    known: Sequence[ObservedSite],
    exchangeable: Mapping[str, int] | None,
) -> tuple[ObservedSite, ...]:
    """The observed sites that are read, and along which axes their rows have no order.

    Args:
        names: What was given as ``observed``; None for all.
        known: The sites of the model or the simulator, with the axes that were found.
        exchangeable: ``{site: axis}``, in place of those; None where nothing was given.

    Raises:
        ValueError: A name is not known, an axis is not there, or sets have other numbers of rows.

    Example:
        >>> choose_sites("y", [ObservedSite("y", (4,)), ObservedSite("z", ())], {"y": 0})
        (ObservedSite(name='y', shape=(4,), set_axis=0),)
    """
    chosen = choose_names(names, "observed", [site.name for site in known])
    sites = [site for site in known if site.name in chosen]
    if exchangeable is not None:
        axes = _read_axes(exchangeable, {site.name: site.shape for site in sites})
        sites = [ObservedSite(site.name, site.shape, axes.get(site.name)) for site in sites]
    return tuple(sites)


def _read_axes(
    exchangeable: Mapping[str, int], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, int]:
    """Axes counted from the front, after a look at them."""
    axes: dict[str, int] = {}
    for name, axis in exchangeable.items():
        shape = shapes.get(name, ())
        whole = isinstance(axis, int | np.integer) and not isinstance(axis, bool)
        if not whole or not -len(shape) <= axis < len(shape):
            raise ValueError(
                f"NPE: exchangeable = {{'{name}': {axis!r}}}; expected an axis of an observed "
                f"site, of {dict(shapes)}. Write exchangeable={{'{next(iter(shapes))}': 0}}."
            )
        axes[name] = int(axis) % len(shape)
    rows = {name: shapes[name][axis] for name, axis in axes.items()}
    if len(set(rows.values())) > 1:
        raise ValueError(
            f"NPE: the exchangeable rows of the sites are {rows} in number; expected the same, "
            "for a row of all of them is read at once. Name one of the sites."
        )
    return axes


def take_table(
    latent: Mapping[str, np.ndarray],
    latent_shapes: Mapping[str, tuple[int, ...]],
    observed: Mapping[str, np.ndarray],
    sites: Sequence[ObservedSite],
) -> Simulations:
    """Pairs that came from elsewhere, after a look at their sites and shapes.

    Args:
        latent: ``{site: array[row, ...]}``.
        latent_shapes: Shapes of the sites of interest.
        observed: ``{site: array[row, ...]}``.
        sites: The observed sites.

    Raises:
        ValueError: A site is missing or of another shape, but for dimensions of one.

    Example:
        >>> y = np.zeros((5, 3))
        >>> len(take_table({"mu": np.zeros(5)}, {"mu": ()}, {"y": y}, [ObservedSite("y", (3,))]))
        5
    """
    observed_shapes = {site.name: site.shape for site in sites}
    return Simulations(
        {name: _take_site("latent", name, latent, shape) for name, shape in latent_shapes.items()},
        {
            name: _take_site("observed", name, observed, shape)
            for name, shape in observed_shapes.items()
        },
    )


def _take_site(
    kind: str, name: str, given: Mapping[str, np.ndarray], shape: tuple[int, ...]
) -> np.ndarray:
    """The values of a site; dimensions of one, with which the hosts pad, may be left out."""
    found = np.shape(given[name]) if name in given else None
    if found is None or _without_ones(found[1:]) != _without_ones(shape) or not found:
        what = "is missing" if found is None else f"has shape {found}"
        raise ValueError(
            f"NPE.train: {kind} site '{name}' {what} in the table of simulations; "
            f"expected [{', '.join(map(str, ('row', *shape)))}]. Give all sites that are to be "
            "learned or observed: simulations=({latent site: array}, {observed site: array})."
        )
    return np.asarray(given[name]).reshape(found[0], *shape)


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def take_one(
    called: str, observed: Mapping[str, np.ndarray], many: bool
) -> Mapping[str, np.ndarray]:
    """One observation, or a refusal of many.

    Args:
        called: Name of the method.
        observed: From `check_observation`.
        many: From there too.

    Raises:
        ValueError: There are many.
    """
    if many:
        raise ValueError(
            f"NPE.{called}: there are many observations; expected one. Take one of them: x[0]."
        )
    return observed


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


def flatten_sites(observed: Mapping[str, np.ndarray], sites: Sequence[ObservedSite]) -> np.ndarray:
    """All data of observations side by side, ``[observation, width]``.

    Args:
        observed: ``{site: array[observation, ...]}``.
        sites: The observed sites.
    """
    parts = [np.asarray(observed[site.name], float) for site in sites]
    return np.concatenate([part.reshape(len(part), -1) for part in parts], 1)
