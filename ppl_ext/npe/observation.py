"""What is asked of names, and of tables of simulations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ppl_ext.npe.features import ObservedSite
from ppl_ext.simulation import Simulations

__all__ = [
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


def flatten_sites(observed: Mapping[str, np.ndarray], sites: Sequence[ObservedSite]) -> np.ndarray:
    """All data of observations side by side, ``[observation, width]``.

    Args:
        observed: ``{site: array[observation, ...]}``.
        sites: The observed sites.
    """
    parts = [np.asarray(observed[site.name], float) for site in sites]
    return np.concatenate([part.reshape(len(part), -1) for part in parts], 1)
