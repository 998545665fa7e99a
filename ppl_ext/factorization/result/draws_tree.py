"""Draws of the latent vectors as an ArviZ tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ppl_ext.factorization.model.posterior import Posterior

if TYPE_CHECKING:
    import xarray


__all__ = ["arrange_draws", "draw_posterior"]


def draw_posterior(
    posterior: Posterior, elbo: float, num_draws: int, seed: int
) -> xarray.DataTree:
    """Draw all latent vectors, and coefficients of features.

    Args:
        posterior: The posterior.
        elbo: The ELBO.
        num_draws: Number of draws.
        seed: Seed of the draws.

    Returns:
        The tree that `Factors.to_datatree` describes.

    Raises:
        ValueError: There are to be no draws.
    """
    if num_draws < 1:
        raise ValueError(
            f"Factors.to_datatree: num_draws={num_draws}; expected at least 1. Write "
            "to_datatree(100)."
        )
    rng = np.random.default_rng(seed)
    draws: dict[str, np.ndarray] = {}
    coefficients: dict[str, np.ndarray] = {}
    for name, side in posterior.sides:
        draws[name] = np.stack([side.draw(rng) for _ in range(num_draws)])
        if side.regression is not None:
            coefficients[name] = np.stack(
                [side.regression.draw(rng, side.prior) for _ in range(num_draws)]
            )
    return arrange_draws(posterior, elbo, draws, coefficients)


def arrange_draws(
    posterior: Posterior,
    elbo: float,
    draws: Mapping[str, np.ndarray],
    coefficients: Mapping[str, np.ndarray],
) -> xarray.DataTree:
    """Arrange draws, from the posterior of a fit or from a guide.

    Args:
        posterior: The posterior, for labels and settings.
        elbo: The ELBO.
        draws: ``{side: [draw, row, dim]}``, side being "user" or "item".
        coefficients: ``{side: [draw, feature, dim]}`` of the sides that have features.

    Returns:
        The tree that `Factors.to_datatree` describes.
    """
    from ppl_ext.draws.datatree import build_tree

    k = posterior.num_factors
    values: dict[str, np.ndarray] = {}
    dims: dict[str, tuple[str, ...]] = {}
    coords: dict[str, Any] = {"factor": np.arange(k)}

    def split(own: np.ndarray, row: str, factors_name: str, bias_name: str) -> None:
        values[factors_name], dims[factors_name] = own[..., :k], (row, "factor")
        if posterior.biases:
            values[bias_name], dims[bias_name] = own[..., k], (row,)

    for name, side in posterior.sides:
        split(np.asarray(draws[name]), name, f"{name}_factors", f"{name}_bias")
        coords[name] = side.ids
        if side.regression is not None:
            feature = f"{name}_feature"
            own = np.asarray(coefficients[name])
            split(own, feature, f"{name}_coefficients", f"{name}_bias_coefficients")
            coords[feature] = side.regression.names
    attrs = {"elbo": elbo, "center": posterior.center}
    return build_tree(values, dims=dims, coords=coords, attrs=attrs)
