"""What a neural posterior cannot answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = [
    "refuse_data_reader",
    "refuse_many",
    "refuse_masked",
    "refuse_scaled",
    "refuse_without_density",
]


def refuse_many(called: str) -> None:
    """Raise where one observation is wanted and there are many.

    Args:
        called: Name of the method.

    Raises:
        ValueError: Always.
    """
    raise ValueError(
        f"NeuralPosterior.{called}: there are many observations; expected one. Take them "
        f"one by one, npe.posterior(x[0]).{called}(...), or sample() for all of them."
    )


def refuse_without_density(sites: Sequence[str]) -> None:
    """Raise where the model has no density by which draws could be corrected.

    Args:
        sites: The sites of interest.

    Raises:
        ValueError: Always.
    """
    raise ValueError(
        f"NeuralPosterior.correct: the model has no density of the sites of interest "
        f"{list(sites)} alone; expected all of its latent sites to be learned, no site of another "
        "simulator, and no value missing. Leave latent= out."
    )


def refuse_masked(site: str, shown: np.ndarray) -> None:
    """Raise for data below a mask: simulations would show the network what it hides.

    Args:
        site: Name of the observed site.
        shown: Which of its values the mask shows.

    Raises:
        ValueError: It hides some.
    """
    if shown.all():
        return
    raise ValueError(
        f"NPE: a mask hides {int((~shown).sum())} of {shown.size} values of observed site "
        f"'{site}', which simulations would show; expected none hidden, whatever the values. "
        "Leave the mask out, learn with NPE(model, ..., missing=True), and give the posterior NaN "
        "in their place."
    )


def refuse_scaled(site: str) -> None:
    """Raise for a site whose density counts more or less than once: no simulation is so.

    Args:
        site: Name of the site.

    Raises:
        ValueError: Always.
    """
    raise ValueError(
        f"NPE: the density of site '{site}' is scaled by a handler, which simulations cannot "
        "follow; expected each site to count once. Leave the scale out, and repeat data that "
        "count several times in a plate."
    )


def refuse_data_reader(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Raise for a model that reads its data elsewhere than in ``obs=``.

    Args:
        before: Log densities of the same values by site, with the data that the model was given.
        after: The same with other data, to the last bit where nothing hangs on them.

    Raises:
        ValueError: Some differ.
    """
    moved = [n for n in before if not np.array_equal(before[n], after[n], equal_nan=True)]
    if not moved:
        return
    raise ValueError(
        f"NPE: {', '.join(map(repr, moved))} hangs on the values of the data that the model was "
        "given, which are not those of an observation; expected data that are read as obs= alone. "
        "Draw what hangs on earlier data step by step, with scan or a loop of sample statements, "
        "and write priors without the data."
    )
