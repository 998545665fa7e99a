"""A conjugate regression and short settings, for the tests of fits."""

import numpy as np
import pyro
import pyro.distributions as dist
import torch

import ppl_ext.pyro as px

X = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0], [1.0, 4.0]])
Y = torch.tensor([1.0, 2.5, 2.0, 5.0])


def regression(x, y=None):
    """beta ~ N(0, 2^2 I), y ~ N(x beta, 1): conjugate."""
    beta = pyro.sample("beta", dist.Normal(torch.zeros(2), 2.0).to_event(1))
    mean = pyro.deterministic("mean", x @ beta)
    with pyro.plate("row", len(x)):
        pyro.sample("y", dist.Normal(mean, 1.0), obs=y)


PRECISION = X.double().numpy().T @ X.double().numpy() + np.eye(2) / 4
COVARIANCE = np.linalg.inv(PRECISION)
MEAN = COVARIANCE @ X.double().numpy().T @ Y.double().numpy()
QUICK = px.Stochastic(max_steps=400, trial_steps=40)
