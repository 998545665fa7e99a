"""Scalar quantities of posteriors by name, for plots that put several side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ppl_ext.draws.draws import Draws

if TYPE_CHECKING:
    import xarray

__all__ = ["collect_quantities"]


def collect_quantities(
    called: str, data: Mapping[str, Draws | xarray.DataTree], wanted: Sequence[str] | None
) -> dict[str, dict[str, np.ndarray]]:
    """Find the same quantities in several posteriors: ``{label: {quantity: values[draw]}}``.

    Args:
        called: The public function, for the messages.
        data: ``{label: draws or tree}``.
        wanted: Sites or single entries; what all posteriors have if None.

    Returns:
        The draws of every quantity under every label, in the order of the first posterior.

    Raises:
        ValueError: A quantity is missing somewhere, is constant or is not finite.
    """
    columns = {label: _list_quantities(posterior, wanted) for label, posterior in data.items()}
    if not columns or not next(iter(columns.values())):
        raise ValueError(
            f"{called}: sites={wanted} of {list(data)} means nothing; expected the names of "
            "sites. Give {label: draws} and sites among draws.values."
        )
    names = list(next(iter(columns.values())))
    if wanted is None:
        names = [name for name in names if all(name in c for c in columns.values())]
    for label, found in columns.items():
        missing = [name for name in names if name not in found]
        if missing or not names:
            raise ValueError(
                f"{called}: '{label}' has no {missing}; expected the same sites in all of "
                f"{list(data)}. Choose sites that all of them have."
            )
        for name in names:
            if not np.isfinite(found[name]).all() or np.ptp(found[name]) == 0:
                raise ValueError(
                    f"{called}: '{name}' of '{label}' is constant or not finite; a density needs "
                    f"draws that differ. Leave it out: sites={[n for n in names if n != name]}."
                )
    return {label: {name: found[name] for name in names} for label, found in columns.items()}


def _list_quantities(
    posterior: Draws | xarray.DataTree, wanted: Sequence[str] | None
) -> dict[str, np.ndarray]:
    """Every scalar of a posterior under a name such as ``theta[Choate]``."""
    tree = posterior.to_datatree() if isinstance(posterior, Draws) else posterior
    quantities: dict[str, np.ndarray] = {}
    for name, variable in tree["posterior"].data_vars.items():
        site = str(name)
        values = variable.transpose("chain", "draw", ...)
        own = values.dims[2:]
        flat = values.to_numpy().reshape(-1, *values.shape[2:])
        for index in np.ndindex(*values.shape[2:]):
            labels = [str(values[dim].to_numpy()[i]) for dim, i in zip(own, index, strict=True)]
            entry = f"{site}[{', '.join(labels)}]" if labels else site
            if wanted is None or site in wanted or entry in wanted:
                quantities[entry] = flat[(slice(None), *index)].astype(np.float64)
    return quantities
