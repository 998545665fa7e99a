"""Sites that are points, circles or scoped: fitted, or refused with the way out."""

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.contrib.autoname import scope
from pyro.infer.reparam import ProjectedNormalReparam
from scipy import special, stats

from ppl_ext.pyro import AutoFullRank, AutoMeanField, Stochastic, fit, trace_density

ANGLES = np.random.default_rng(0).vonmises(np.pi, 2.0, size=20)


def test_a_point_is_a_deterministic_value():
    def model():
        mu = pyro.sample("mu", dist.Normal(0.0, 1.0))
        pyro.sample("c", dist.Delta(2 * mu))

    with pytest.raises(ValueError, match=r"site 'c' is a Delta.*pyro.deterministic\('c'"):
        trace_density(model)


def test_a_plate_in_a_scope_makes_a_tree():
    @scope(prefix="study")
    def model(y):
        mu = pyro.sample("mu", dist.Normal(0.0, 1.0))
        with pyro.plate("study/row", len(y)):
            x = pyro.sample("x", dist.Normal(mu, 1.0))
            pyro.sample("y", dist.Normal(x, 1.0), obs=y)

    tree = fit(model, torch.ones(3), progress_bar=False).to_datatree(100)
    assert tree["posterior"]["study.x"].dims == ("chain", "draw", "study.row")
    assert tree["observed_data"]["study.y"].dims == ("study.row",)


def across(y):
    phi = pyro.sample("phi", dist.VonMises(0.0, 0.1))
    with pyro.plate("row", 20):
        pyro.sample("y", dist.VonMises(phi, 2.0), obs=y)


def turned(y):
    angle = pyro.sample("angle", dist.VonMises(0.0 - torch.pi, 0.1))
    phi = pyro.deterministic("phi", angle + torch.pi)
    with pyro.plate("row", 20):
        pyro.sample("y", dist.VonMises(phi, 2.0), obs=y)


@pytest.mark.parametrize("batch", [(), (3,)])
def test_a_circle_is_cut_once(batch):
    def model():
        pyro.sample("phi", dist.VonMises(0.5, 2.0).expand(batch).to_event(len(batch)))

    density = trace_density(model)
    z = np.linspace(-20, 20, 1000).repeat(density.dim).reshape(1000, -1)
    phi = density.constrain(z)["phi"].reshape(1000, -1)
    assert np.abs(phi).max() <= np.float32(np.pi)
    # By the change of variables of a scaled logistic function.
    log_p = stats.vonmises(2.0, loc=0.5).logpdf(phi)
    log_p += np.log(2 * np.pi) + stats.logistic.logpdf(z)
    middle = np.abs(z[:, 0]) < 10
    np.testing.assert_allclose(density.log_p(z)[middle], log_p.sum(1)[middle], atol=1e-3)


def test_a_circle_is_turned_where_the_fit_says_so():
    y = torch.tensor(ANGLES).float()
    cut = fit(across, y, climb=False, progress_bar=False).report()
    assert cut.verdict != "good"
    assert "site 'phi' is circular" in " ".join(str(cut).split())
    settings = Stochastic(max_steps=1500)
    for options in ({}, {"guide": AutoMeanField, "optimizer": settings, "num_starts": 1}):
        fitted = fit(turned, y, progress_bar=False, **options)
        phi = fitted.draws(4000, seed=1).values["phi"]
        grid = np.linspace(0.0, 2 * np.pi, 10_000, endpoint=False)
        log_p = 0.1 * np.cos(grid) + 2.0 * np.cos(ANGLES[:, None] - grid).sum(0)
        weights = np.exp(log_p - log_p.max())
        exact = (weights * np.exp(1j * grid)).sum() / weights.sum()
        assert np.exp(1j * phi).mean() == pytest.approx(exact, abs=0.02)


@pytest.mark.parametrize("event", [0, 1])
def test_a_latent_mixture_has_the_support_of_its_components(event):
    """Torch has no bijection for a mixture's own support, so that the host's guides refuse it."""
    shares = torch.tensor([0.3, 0.7])
    scales = torch.tensor([0.5, 2.0])

    def positive():
        mixture = dist.MixtureSameFamily(dist.Categorical(shares), dist.LogNormal(0.0, scales))
        pyro.sample("x", mixture.expand([2]).to_event(event))

    density = trace_density(positive)
    z = np.random.default_rng(0).normal(size=(6, 2))
    # The logarithm of x is a mixture of normal variables.
    exact = np.log(0.3 * stats.norm.pdf(z, scale=0.5) + 0.7 * stats.norm.pdf(z, scale=2.0)).sum(1)
    np.testing.assert_allclose(density.log_p(z), exact, rtol=1e-5)
    np.testing.assert_allclose(density.constrain(z)["x"], np.exp(z), rtol=1e-5)
    fitted = fit(positive, guide=AutoFullRank, progress_bar=False)
    assert (fitted.draws(100).values["x"] > 0).all()


def test_a_mixture_whose_components_differ_in_support_is_refused():
    def model():
        ends = torch.tensor([1.0, 3.0])
        pyro.sample(
            "x", dist.MixtureSameFamily(dist.Categorical(torch.ones(2)), dist.Uniform(0.0, ends))
        )

    with pytest.raises(ValueError, match=r"site 'x'.*no bijection"):
        fit(model, progress_bar=False)


def test_a_site_without_a_bijection_is_reparametrised():
    """A point on the circle that is seen with noise of variance 1/4: von Mises about it."""

    def model(y):
        x = pyro.sample("x", dist.ProjectedNormal(torch.zeros(2)))
        pyro.sample("y", dist.Normal(x, 0.5).to_event(1), obs=y)

    y = np.array([0.5, 0.9])
    moved = poutine.reparam(model, config={"x": ProjectedNormalReparam()})
    fitted = fit(moved, torch.tensor(y).float(), progress_bar=False)
    assert fitted.report().verdict == "good"
    x = fitted.draws(4000, seed=1).values["x"]
    length = 4 * np.linalg.norm(y)
    mean = special.iv(1, length) / special.iv(0, length)
    np.testing.assert_allclose(x.mean(0), mean * y / np.linalg.norm(y), atol=0.02)
    with pytest.raises(ValueError, match=r"site 'x'.*no bijection.*ProjectedNormalReparam"):
        AutoFullRank(model)(torch.tensor(y).float())
