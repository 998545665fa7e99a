"""Distributions of discrete choices and their relaxations, and what they are made of."""

from ppl_ext.estimators.schedules import ExponentialTemperature
from ppl_ext.pyro.distributions.gumbel import Gumbel
from ppl_ext.pyro.distributions.one_hot import (
    OneHotCategoricalStraightThrough,
    RelaxedOneHotCategoricalStraightThrough,
)
from ppl_ext.pyro.distributions.plackett_luce import PlackettLuce
from ppl_ext.pyro.distributions.relaxed import (
    ExpRelaxedOneHotCategorical,
    RelaxedOneHotCategorical,
)
from ppl_ext.pyro.distributions.relaxed_bernoulli import (
    LogitRelaxedBernoulli,
    RelaxedBernoulli,
)
from ppl_ext.pyro.distributions.relaxed_subset import relaxed_top_k
from ppl_ext.pyro.gumbel.categorical_draws import sample_categorical, straight_through
from ppl_ext.pyro.gumbel.noise import gumbel_noise
from ppl_ext.pyro.gumbel.simplex import LogRatioTransform, log_simplex
from ppl_ext.pyro.gumbel.tricks import gumbel_max, gumbel_top_k, posterior_gumbels

__all__ = [
    "ExpRelaxedOneHotCategorical",
    "ExponentialTemperature",
    "Gumbel",
    "LogRatioTransform",
    "LogitRelaxedBernoulli",
    "OneHotCategoricalStraightThrough",
    "PlackettLuce",
    "RelaxedBernoulli",
    "RelaxedOneHotCategorical",
    "RelaxedOneHotCategoricalStraightThrough",
    "gumbel_max",
    "gumbel_noise",
    "gumbel_top_k",
    "log_simplex",
    "posterior_gumbels",
    "relaxed_top_k",
    "sample_categorical",
    "straight_through",
]


def __dir__() -> list[str]:
    return __all__
