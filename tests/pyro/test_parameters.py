"""Parameters that Pyro keeps in modules: weights, PyroParams, Gaussian processes."""

import numpy as np
import pyro
import pyro.contrib.gp as gp
import pyro.distributions as dist
import pytest
import torch
from pyro.nn import PyroModule, PyroParam, PyroSample
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

import ppl_ext.pyro as px

RNG = np.random.default_rng(3)
X = RNG.normal(size=(30, 2))
Y = X @ [1.0, -2.0] + 0.5 + RNG.normal(size=30)
INPUTS = (torch.tensor(X).float(), torch.tensor(Y).float())


def least_squares(width, noise):
    """Weights and bias that maximise the evidence of y ~ Normal(x w + b + u, noise)."""
    design = np.column_stack([X, np.ones(30)])
    precision = np.linalg.inv(noise**2 * np.eye(30) + width**2 * np.ones((30, 30)))
    return np.linalg.solve(design.T @ precision @ design, design.T @ precision @ Y)


def check(fitted, net):
    best = least_squares(width=0.5, noise=1.0)
    found = [*net.weight.detach().numpy().ravel(), net.bias.item()]
    assert fitted.log.converged
    np.testing.assert_allclose(found, best, atol=5e-3)
    assert fitted.solution is not None


def test_weights_of_a_registered_module():
    net = torch.nn.Linear(2, 1)

    def model(x, y):
        pyro.module("net", net)
        u = pyro.sample("u", dist.Normal(0.0, 0.5))
        with pyro.plate("row", 30):
            pyro.sample("y", dist.Normal(net(x)[:, 0] + u, 1.0), obs=y)

    fitted = px.fit(model, *INPUTS, progress_bar=False)
    check(fitted, net)
    before = fitted.density.log_p(np.zeros((1, 1)))
    # Draws and density are those of the fit, whatever becomes of the module.
    with torch.no_grad():
        net.weight.zero_()
    np.testing.assert_array_equal(fitted.density.log_p(np.zeros((1, 1))), before)
    assert net.weight.abs().sum().item() == 0.0
    assert not list(pyro.get_param_store())


class Regression(PyroModule):
    def __init__(self):
        super().__init__()
        self.net = PyroModule[torch.nn.Linear](2, 1)
        self.noise = PyroParam(torch.tensor(2.0), constraint=dist.constraints.positive)
        self.shift = PyroSample(dist.Normal(0.0, 0.5))

    def forward(self, x, y):
        mean = self.net(x)[:, 0] + self.shift
        with pyro.plate("row", 30):
            pyro.sample("y", dist.Normal(mean, self.noise), obs=y)


def test_a_module_with_a_learned_noise():
    model = Regression()
    fitted = px.fit(model, *INPUTS, progress_bar=False)
    design = np.column_stack([X, np.ones(30)])

    def loss(theta):
        covariance = np.exp(2 * theta[0]) * np.eye(30) + 0.25 * np.ones((30, 30))
        return -multivariate_normal(design @ theta[1:], covariance).logpdf(Y)

    best = minimize(loss, np.zeros(4), method="BFGS", options={"gtol": 1e-4}).x
    assert model.noise.log().item() == pytest.approx(best[0], abs=5e-3)
    assert fitted.params["noise"].log().item() == pytest.approx(best[0], abs=5e-3)
    np.testing.assert_allclose(model.net.weight.detach()[0], best[1:3], atol=5e-3)


def test_a_gaussian_process_of_the_host_learns_its_noise():
    x = torch.linspace(0.0, 4.0, 15)
    y = torch.sin(2 * x) + 0.2 * torch.tensor(RNG.normal(size=15)).float()
    kernel = gp.kernels.RBF(1)
    kernel.variance = PyroSample(dist.LogNormal(0.0, 1.0))
    process = gp.models.GPRegression(x, y, kernel, noise=torch.tensor(1.0))
    fitted = px.fit(process.model, progress_bar=False)
    assert fitted.log.converged
    # Fresh draws of what is sampled find the bound level in what is learned.
    variance = torch.tensor(fitted.draws(4000, seed=0).values["kernel.variance"]).float()
    distance = (x[:, None] - x) ** 2
    noise, length = (fitted.params[name].log() for name in ("noise", "kernel.lengthscale"))
    learned = torch.stack([noise, length]).requires_grad_()
    near = torch.exp(-0.5 * distance / torch.exp(2 * learned[1]))
    covariance = variance[:, None, None] * near + (learned[0].exp() + 1e-6) * torch.eye(15)
    data = dist.MultivariateNormal(torch.zeros(15), covariance).log_prob(y)
    (slope,) = torch.autograd.grad(data.mean(), learned)
    # A unit of either logarithm is worth some ten nats of curvature here.
    assert slope.abs().max() < 0.1
