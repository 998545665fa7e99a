"""A hierarchical model for guides, Gaussians to put into them, and training by the host."""

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI, Trace_ELBO

import ppl_ext.pyro as px
from ppl_ext.pyro import AutoMeanField
from tests.rooms.guide_rows import ROWS

GUIDES = [getattr(px, row.name) for row in ROWS]


def schools(y=None):
    mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = pyro.sample("tau", dist.HalfCauchy(5.0))
    with pyro.plate("school", 3):
        theta = pyro.sample("theta", dist.Normal(mu, tau))
        weights = pyro.sample("weights", dist.Dirichlet(torch.ones(4)))
        pyro.sample("y", dist.Normal(theta + weights[..., 0], 1.0), obs=y)


Y = torch.tensor([1.0, 2.0, 3.0])
DIM = 1 + 1 + 3 + 9


def some_gaussian(guide_class, dim=DIM):
    rng = np.random.default_rng(0)
    loc = rng.normal(size=dim)
    if guide_class is AutoMeanField:
        return loc, rng.uniform(0.1, 2.0, size=dim)
    return loc, np.tril(rng.normal(size=(dim, dim)), -1) + np.diag(rng.uniform(0.1, 2.0, dim))


def train(model, guide, *args, steps=300, lr=0.02, elbo=None):
    svi = SVI(model, guide, pyro.optim.Adam({"lr": lr}), elbo or Trace_ELBO())
    return [svi.step(*args) for _ in range(steps)]
