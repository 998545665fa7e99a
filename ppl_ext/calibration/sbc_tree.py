"""Places of simulated truths as ArviZ draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ppl_ext.draws.datatree import build_tree

if TYPE_CHECKING:
    import xarray

__all__ = ["build_sbc_tree"]


def build_sbc_tree(
    pit: Mapping[str, np.ndarray], dims: Mapping[str, Sequence[str]], attrs: Mapping[str, Any]
) -> xarray.DataTree:
    """Arrange places in the group ``prior_sbc``, one draw for each simulation.

    Places, never ranks: ``arviz_plots.plot_ecdf_pit`` divides ranks by the largest one that
    occurs, and a calibration whose truths all lie low then looks right.

    Args:
        pit: ``{quantity: array[simulation, ...]}``, in (0, 1).
        dims: ``{site: names}`` of the leading axes of a value.
        attrs: Attributes of the tree.

    Returns:
        The tree.

    Example:
        >>> tree = build_sbc_tree({"mu": np.array([0.1, 0.7])}, {}, {"num_draws": 99})
        >>> dict(tree["prior_sbc"]["mu"].sizes)
        {'chain': 1, 'draw': 2}
    """
    import xarray

    tree = build_tree(pit, dims=dims, attrs=attrs)
    found = xarray.DataTree.from_dict({"prior_sbc": tree["posterior"].to_dataset()})
    found.attrs.update(tree.attrs)
    return found
