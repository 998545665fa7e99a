"""Coordinate ascent for conjugate models that are written as a sum of terms."""

from ppl_ext.cavi.ascent import Ascent, ascend
from ppl_ext.cavi.classes import Categorical, Dirichlet
from ppl_ext.cavi.discrete import CategoryTerm, MixtureTerm
from ppl_ext.cavi.families import (
    AbstractFamily,
    Gamma,
    MultivariateNormal,
    Normal,
)
from ppl_ext.cavi.gaussian import NormalTerm, ProductTerm
from ppl_ext.cavi.joint import NormalGamma, NormalWishart
from ppl_ext.cavi.linear_model import regress_linear
from ppl_ext.cavi.mixture import fit_mixture
from ppl_ext.cavi.regression import LinearTerm, RelevanceTerm
from ppl_ext.cavi.terms import AbstractTerm, NotConjugateError, PriorTerm

__all__ = [
    "AbstractFamily",
    "AbstractTerm",
    "Ascent",
    "Categorical",
    "CategoryTerm",
    "Dirichlet",
    "Gamma",
    "LinearTerm",
    "MixtureTerm",
    "MultivariateNormal",
    "Normal",
    "NormalGamma",
    "NormalTerm",
    "NormalWishart",
    "NotConjugateError",
    "PriorTerm",
    "ProductTerm",
    "RelevanceTerm",
    "ascend",
    "fit_mixture",
    "regress_linear",
]
