"""Distributions of discrete choices and their relaxations, and what they are made of."""

from ppl_ext.pyro.distributions.choosing import sample_categorical, straight_through
from ppl_ext.pyro.distributions.gumbel import Gumbel
from ppl_ext.pyro.distributions.noise import gumbel_noise
from ppl_ext.pyro.distributions.one_hot import (
    OneHotCategoricalStraightThrough,
    RelaxedOneHotCategoricalStraightThrough,
)
from ppl_ext.pyro.distributions.perturbation import gumbel_max, gumbel_top_k, posterior_gumbels
from ppl_ext.pyro.distributions.relaxed import (
    ExpRelaxedOneHotCategorical,
    RelaxedOneHotCategorical,
)
from ppl_ext.pyro.distributions.relaxed_bernoulli import (
    LogitRelaxedBernoulli,
    RelaxedBernoulli,
)
from ppl_ext.pyro.distributions.simplex import LogRatioTransform, log_simplex
from ppl_ext.pyro.distributions.temperature import (
    ConstantTemperature,
    ExponentialTemperature,
    LinearTemperature,
)

__all__ = [
    "ConstantTemperature",
    "ExpRelaxedOneHotCategorical",
    "ExponentialTemperature",
    "Gumbel",
    "LinearTemperature",
    "LogRatioTransform",
    "LogitRelaxedBernoulli",
    "OneHotCategoricalStraightThrough",
    "RelaxedBernoulli",
    "RelaxedOneHotCategorical",
    "RelaxedOneHotCategoricalStraightThrough",
    "gumbel_max",
    "gumbel_noise",
    "gumbel_top_k",
    "log_simplex",
    "posterior_gumbels",
    "sample_categorical",
    "straight_through",
]
