"""Test scores of 434 children and their mothers' schooling and IQ, with the published posterior.

Data: National Longitudinal Survey of Youth, as in A. Gelman and J. Hill (2007), "Data Analysis
Using Regression and Multilevel/Hierarchical Models", Cambridge University Press, chapter 3.
Posterior: 10,000 reference draws of ``kidiq-kidscore_interaction`` in posteriordb (Magnusson et
al., github.com/stan-dev/posteriordb, BSD-3).
"""

from importlib import resources

import numpy as np

from ppl_ext.commands.demo.reference import Reference

__all__ = ["KID_SCORE", "MOM_HS", "MOM_IQ", "REFERENCE", "TERMS"]

with resources.files("ppl_ext.commands.demo").joinpath("kidscore.csv").open() as table:
    KID_SCORE, MOM_HS, MOM_IQ = np.loadtxt(table, delimiter=",", skiprows=1).T

TERMS = ("intercept", "high school", "IQ", "high school x IQ")

REFERENCE = Reference(
    mean={
        "beta": np.array([-11.35865, 51.03276, 0.9674126, -0.4815863]),
        "sigma": np.array(17.98109),
    },
    sd={
        "beta": np.array([13.68725, 15.24749, 0.1476042, 0.1612690]),
        "sigma": np.array(0.614005),
    },
    source="10,000 reference draws of posteriordb",
)
