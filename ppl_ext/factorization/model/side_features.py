"""Features of users and items, checked against what a fit learned of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ppl_ext.factorization.data.features import read_features
from ppl_ext.factorization.model.posterior import Posterior
from ppl_ext.factorization.model.regression import Design, Regression, start_regression

__all__ = ["read_designs", "start_features"]


def start_features(
    called: str, name: str, source: Any, labels: np.ndarray, earlier: Regression | None, dim: int
) -> tuple[Regression | None, Design | None]:
    """Check the features of a side, and go on from an earlier regression on them.

    Args:
        called: What a user called, for the messages.
        name: "user" or "item".
        source: The features, or None.
        labels: Labels of the side.
        earlier: The regression of an earlier fit, if it had one.
        dim: Length of the latent vectors.

    Returns:
        The regression that a fit starts with, and the standardised features; twice None where
        there are none.

    Raises:
        ValueError: The earlier fit had features and there are none now, or others.
    """
    if source is None:
        if earlier is not None:
            raise ValueError(
                f"{called}: start was fitted with {len(earlier.names):,} features of {name}s, "
                f"'{earlier.names[0]}' first, and there are none now; expected the same. Pass "
                f"{name}_features= as well."
            )
        return None, None
    names = None if earlier is None else earlier.names
    _, columns, table = read_features(source, f"{called}: {name}_features", labels, names)
    regression = earlier or start_regression(columns, table, dim)
    return regression, regression.design(table)


def read_designs(
    called: str, posterior: Posterior, user_features: Any, item_features: Any
) -> Mapping[str, Design]:
    """Standardise features as in the fit: factors keep what was learned of them, not the table.

    Args:
        called: What a user called, for the messages.
        posterior: The posterior.
        user_features: Features of all its users, as in the fit; None where it had none.
        item_features: The same of items.

    Returns:
        The standardised features of ``"user"``, ``"item"``, both or neither.

    Raises:
        ValueError: There are features where the fit had none, none where it had some, or others.
        TypeError: A feature is no number.
    """
    designs = {}
    for (name, side), source in zip(posterior.sides, (user_features, item_features), strict=True):
        regression, asked = side.regression, f"{name}_features"
        if source is None and regression is None:
            continue
        if regression is None:
            raise ValueError(
                f"{called}: {asked} is given, and the factors were fitted without features of "
                f"{name}s; expected none. Leave it out, or fit(ratings, {asked}=...)."
            )
        if source is None:
            raise ValueError(
                f"{called}: the prior of the {name}s depends on {len(regression.names):,} "
                f"features, '{regression.names[0]}' first, and there are none; expected those of "
                f"the fit. Pass {asked}= as well."
            )
        _, _, table = read_features(source, f"{called}: {asked}", side.ids, regression.names)
        designs[name] = regression.design(table)
    return designs
