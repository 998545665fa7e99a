"""The three problems of the demonstration, and what a method makes of one.

A problem is data with a known posterior; each room has a model for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from ppl_ext.commands.demo.reference import Reference

if TYPE_CHECKING:
    from ppl_ext.diagnostics import Report

__all__ = ["EIGHT_SCHOOLS", "KIDSCORE", "PITCHER", "PROBLEMS", "Entry", "Problem"]


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
        >>> list(EIGHT_SCHOOLS.split(EIGHT_SCHOOLS.reference.mean))[:3]
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


@dataclass(frozen=True, eq=False)
class Entry:
    """One column of the demonstration's table.

    Args:
        method: "fit", "mean field", "full rank" or "NUTS".
        values: ``{site: array[draw, ...]}``, as the method draws them.
        seconds: Wall-clock time to the draws and their verdict, compilation included; what an
            earlier method has compiled is not compiled again.
        gradients: Gradients of the log density that were evaluated.
        report: The verdict on a fit; None for NUTS.
    """

    method: str
    values: Mapping[str, np.ndarray]
    seconds: float
    gradients: int
    report: Report | None = None


# D. B. Rubin (1981), Estimation in parallel randomized experiments, Journal of Educational
# Statistics 6(4), 377-401, doi:10.3102/10769986006004377. Posterior: reference draws of
# eight_schools-eight_schools_noncentered in posteriordb (Magnusson et al., github.com/stan-dev/
# posteriordb, BSD-3).
EIGHT_SCHOOLS = Problem(
    name="eight_schools",
    title="Eight schools, a hierarchy of school effects",
    data=(
        np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0]),  # standard errors
        np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0]),  # effects
    ),
    reference=Reference(
        mean={
            "mu": np.array(4.41052),
            "tau": np.array(3.60206),
            "theta": np.array(
                [6.15050, 4.93958, 3.90591, 4.79602, 3.61444, 4.05115, 6.31717, 4.88400]
            ),
        },
        sd={
            "mu": np.array(3.30913),
            "tau": np.array(3.19832),
            "theta": np.array(
                [5.61558, 4.64535, 5.28045, 4.77070, 4.61449, 4.79601, 5.00261, 5.31743]
            ),
        },
        source="10,000 reference draws of posteriordb",
    ),
    labels={"theta": tuple("ABCDEFGH")},
    pair=("mu", "tau", "theta[A]"),
)

# National Longitudinal Survey of Youth, as in A. Gelman and J. Hill (2007), Data Analysis Using
# Regression and Multilevel/Hierarchical Models, Cambridge University Press, chapter 3. Posterior:
# reference draws of kidiq-kidscore_interaction in posteriordb.
with resources.files("ppl_ext.commands.demo").joinpath("kidscore.csv").open() as table:
    _KID_SCORE, _MOM_HS, _MOM_IQ = np.loadtxt(table, delimiter=",", skiprows=1).T

KIDSCORE = Problem(
    name="kidscore",
    title="Kidscore, a regression with an interaction",
    data=(_MOM_HS, _MOM_IQ, _KID_SCORE),
    reference=Reference(
        mean={
            "beta": np.array([-11.35865, 51.03276, 0.9674126, -0.4815863]),
            "sigma": np.array(17.98109),
        },
        sd={
            "beta": np.array([13.68725, 15.24749, 0.1476042, 0.1612690]),
            "sigma": np.array(0.614005),
        },
        source="10,000 reference draws of posteriordb",
    ),
    labels={"beta": ("intercept", "high school", "IQ", "high school x IQ")},
    pair=("beta[intercept]", "beta[high school]", "beta[IQ]"),
)

# G. Louppe, Foundations of Data Science (lectures, University of Liege): how fast, and at which
# angle, was a ball thrown that landed at 3.3 m? Posterior: Gauss-Legendre quadrature.
PITCHER = Problem(
    name="pitcher",
    title="Pitcher, a posterior like a crescent",
    data=(np.array([3.301430]),),
    reference=Reference(
        mean={"speed": np.array(5.5229551), "angle": np.array(0.6889936)},
        sd={"speed": np.array(1.3484774), "angle": np.array(0.4408923)},
        source="quadrature",
    ),
    pair=("speed", "angle"),
)

PROBLEMS = (KIDSCORE, EIGHT_SCHOOLS, PITCHER)
