"""The two problems of the demonstration, as data: each room has a model for each."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ppl_ext.commands.demo import eight_schools, kidscore
from ppl_ext.commands.demo.reference import Reference

__all__ = ["PROBLEMS", "Problem"]


@dataclass(frozen=True)
class Problem:
    """Data, a known posterior, and what its quantities are called.

    Args:
        name: Name of the model function in the demonstration of a room.
        title: What it is, in words.
        data: Positional arguments of the model.
        reference: The known posterior.
        labels: Names of the entries of a vector quantity.
        pair: The scalars that the pair plot shows.

    Example:
        >>> schools = PROBLEMS[0]
        >>> list(schools.split(schools.reference.mean))[:3]
        ['mu', 'tau', 'theta[A]']
    """

    name: str
    title: str
    data: tuple[np.ndarray, ...]
    reference: Reference
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pair: tuple[str, ...] = ()

    def split(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Split vectors into labelled scalars.

        Args:
            values: ``{quantity: array[..., entry]}``, at least those of the reference.

        Returns:
            ``{label: array[...]}`` in the order of the reference.
        """
        scalars = {}
        for quantity in self.reference.mean:
            if quantity not in self.labels:
                scalars[quantity] = values[quantity]
                continue
            for entry, label in enumerate(self.labels[quantity]):
                scalars[f"{quantity}[{label}]"] = values[quantity][..., entry]
        return scalars


PROBLEMS = (
    Problem(
        name="eight_schools",
        title="Eight schools, a hierarchy of school effects",
        data=(eight_schools.STANDARD_ERROR, eight_schools.EFFECT),
        reference=eight_schools.REFERENCE,
        labels={"theta": eight_schools.SCHOOLS},
        pair=("mu", "tau", "theta[A]"),
    ),
    Problem(
        name="kidscore",
        title="Kidscore, a regression with an interaction",
        data=(kidscore.MOM_HS, kidscore.MOM_IQ, kidscore.KID_SCORE),
        reference=kidscore.REFERENCE,
        labels={"beta": kidscore.TERMS},
        pair=("beta[intercept]", "beta[high school]", "beta[IQ]"),
    ),
)
