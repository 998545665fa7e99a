"""The features of both sides again, for factors that were fitted with some."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ppl_ext.factorization.data.features import read_features
from ppl_ext.factorization.model.regression import Design
from ppl_ext.factorization.result.factors import Factors

__all__ = ["read_designs"]


def read_designs(
    called: str, factors: Factors, user_features: Any, item_features: Any
) -> Mapping[str, Design]:
    """Standardise features as in the fit: factors keep what was learned of them, not the table.

    Args:
        called: What a user called, for the messages.
        factors: The factors.
        user_features: Features of all their users, as in the fit; None where it had none.
        item_features: The same of items.

    Returns:
        The standardised features of ``"user"``, ``"item"``, both or neither.

    Raises:
        ValueError: There are features where the fit had none, none where it had some, or others.
        TypeError: These are no factors, or a feature is no number.
    """
    if not isinstance(factors, Factors):
        raise TypeError(
            f"{called}: got a {type(factors).__name__}; expected factors. Write {called}("
            "MatrixFactorization(16).fit(ratings))."
        )
    designs = {}
    for name, side, source in (
        ("user", factors.users, user_features),
        ("item", factors.items, item_features),
    ):
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
