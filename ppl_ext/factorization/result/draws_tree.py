"""Draws of the latent vectors as an ArviZ tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray

    from ppl_ext.factorization.result.factors import Factors

__all__ = ["arrange_draws"]


def arrange_draws(
    factors: Factors, draws: Mapping[str, np.ndarray], coefficients: Mapping[str, np.ndarray]
) -> xarray.DataTree:
    """Arrange draws, from the posterior of a fit or from a guide.

    Args:
        factors: The factors, for labels, settings and the ELBO.
        draws: ``{side: [draw, row, dim]}``, side being "user" or "item".
        coefficients: ``{side: [draw, feature, dim]}`` of the sides that have features.

    Returns:
        The tree that `Factors.to_datatree` describes.
    """
    from ppl_ext.draws.datatree import build_tree

    k = factors.num_factors
    values: dict[str, np.ndarray] = {}
    dims: dict[str, tuple[str, ...]] = {}
    coords: dict[str, Any] = {"factor": np.arange(k)}

    def split(own: np.ndarray, row: str, factors_name: str, bias_name: str) -> None:
        values[factors_name], dims[factors_name] = own[..., :k], (row, "factor")
        if factors.biases:
            values[bias_name], dims[bias_name] = own[..., k], (row,)

    for name, side in (("user", factors.users), ("item", factors.items)):
        split(np.asarray(draws[name]), name, f"{name}_factors", f"{name}_bias")
        coords[name] = side.ids
        if side.regression is not None:
            feature = f"{name}_feature"
            split(
                np.asarray(coefficients[name]), feature, f"{name}_coefficients",
                f"{name}_bias_coefficients",
            )  # fmt: skip
            coords[feature] = side.regression.names
    attrs = {"elbo": float(factors.elbo[-1]), "center": factors.center}
    return build_tree(values, dims=dims, coords=coords, attrs=attrs)
