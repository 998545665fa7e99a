"""Neural posterior estimation in Pyro: against conjugate posteriors, quadrature and SciPy."""

import functools

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy import integrate, stats

from ppl_ext.npe.features import Layout
from ppl_ext.npe.settings import Training
from ppl_ext.pyro.flows import AutoregressiveFlow
from ppl_ext.pyro.npe.embeddings import Convolution, DeepSet, ResidualMLP
from ppl_ext.pyro.npe.entry import NPE
from ppl_ext.pyro.npe.learner import NetworkLearner
from ppl_ext.pyro.npe.mixtures import FullRankGaussian, MixtureDensity
from ppl_ext.pyro.npe.network import build_network
from ppl_ext.pyro.npe.simulation import ModelSimulator, find_exchangeable
from ppl_ext.pyro.tracing.bound_model import bind_model

SMALL = functools.partial(ResidualMLP, context_dim=8, hidden=16, num_blocks=1)
SMALL_SET = functools.partial(DeepSet, context_dim=8, hidden=16, num_blocks=1)
SMALL_FLOW = functools.partial(AutoregressiveFlow, num_layers=1, hidden=(16,))


def rows(y):
    mu = pyro.sample("mu", dist.Normal(0.0, 1.0))
    with pyro.plate("row", len(y)):
        pyro.sample("y", dist.Normal(mu, 1.0), obs=y)


def exact(y, axis=-1):
    """Posterior of the mean of rows with unit variance under a standard normal prior."""
    y = np.asarray(y)
    precision = 1 + np.isfinite(y).sum(axis)
    return stats.norm(np.nansum(y, axis) / precision, 1 / np.sqrt(precision))


@pytest.fixture(scope="module")
def conjugate():
    npe = NPE(rows, torch.zeros(4), estimator=FullRankGaussian, embedding=SMALL_SET)
    return npe.train(2000, progress_bar=False, seed=0, settings=Training(max_epochs=4))


@pytest.fixture
def some_y():
    rng = np.random.default_rng(7)
    return rng.normal(size=(200, 1)) + rng.normal(size=(200, 4))


class TestConjugate:
    def test_densities_are_those_of_the_exact_posterior(self, conjugate, some_y):
        truth = exact(some_y)
        mu = np.stack([truth.mean() + shift * truth.std() for shift in (-1, 0, 1)], 1)
        log_q = conjugate.posterior(some_y).log_prob({"mu": mu})
        exact_log_q = np.stack([truth.logpdf(each) for each in mu.T], 1)
        np.testing.assert_allclose(log_q, exact_log_q, atol=0.15)
        assert np.abs(log_q - exact_log_q).mean() < 0.03

    def test_many_observations_at_once(self, conjugate, some_y):
        drawn = conjugate.posterior(torch.as_tensor(some_y)).sample(500, seed=1)["mu"]
        assert drawn.shape == (200, 500)
        truth = exact(some_y)
        scores = (drawn - truth.mean()[:, None]) / truth.std()[..., None]
        assert abs(scores.mean()) < 0.03
        assert abs(scores.std() - 1) < 0.03

    def test_rows_are_a_set(self, conjugate, some_y):
        assert conjugate.task.observed[0].set_axis == 0
        one, other = (
            conjugate.posterior(y).log_prob({"mu": np.zeros((200, 1))})
            for y in (some_y, some_y[:, [2, 0, 3, 1]])
        )
        np.testing.assert_allclose(one, other, atol=1e-4)

    def test_draws_carry_both_densities(self, conjugate, some_y):
        y, truth = some_y[0], exact(some_y[0])
        draws = conjugate.posterior({"y": y}).draws(1000, posterior_predictive=True, seed=1)
        mu = draws.values["mu"]
        np.testing.assert_allclose(
            draws.log_q, conjugate.posterior(y).log_prob({"mu": mu}), atol=1e-4
        )
        joint = stats.norm.logpdf(mu) + stats.norm.logpdf(y, mu[:, None]).sum(1)
        np.testing.assert_allclose(draws.log_p, joint, atol=1e-4)
        assert draws.log_likelihood["y"].shape == (1000, 4)
        assert draws.posterior_predictive["y"].var() == pytest.approx(truth.var() + 1, rel=0.1)
        assert stats.kstest(draws.resample(0).values["mu"], truth.cdf).pvalue > 1e-4

    def test_the_evidence(self, conjugate, some_y):
        y = some_y[0]
        corrected = conjugate.posterior(y).correct(progress_bar=False, seed=1)
        truth = stats.multivariate_normal(np.zeros(4), np.eye(4) + 1).logpdf(y)
        value, error = corrected.log_evidence
        assert corrected.ok
        assert abs(value - truth) < 5 * error + 1e-3
        assert stats.kstest(corrected.draws.values["mu"], exact(y).cdf).pvalue > 1e-4

    def test_quantiles_and_trees(self, conjugate, some_y):
        posterior = conjugate.posterior(some_y[0])
        found = posterior.quantiles([0.1, 0.5, 0.9], seed=1)["mu"]
        np.testing.assert_allclose(found, exact(some_y[0]).ppf([0.1, 0.5, 0.9]), atol=0.07)
        several = conjugate.posterior(some_y[:2]).quantiles(torch.tensor([0.5]), 100, seed=1)
        assert several["mu"].shape == (1, 2)
        tree = posterior.to_datatree(100, seed=1)
        assert tree["observed_data"]["y"].dims == ("row",)

    def test_what_many_observations_have_not(self, conjugate, some_y):
        posterior = conjugate.posterior(some_y)
        for refused in (posterior.draws, posterior.correct):
            with pytest.raises(ValueError, match="one by one"):
                refused()


def test_no_draw_leaves_the_support():
    def model(y):
        rate = pyro.sample("rate", dist.Uniform(0.0, 2.0))
        pyro.sample("y", dist.Normal(rate, 0.5), obs=y)

    npe = NPE(model, torch.tensor(0.0), estimator=SMALL_FLOW, embedding=SMALL)
    npe.train(4000, progress_bar=False, seed=0, settings=Training(max_epochs=12))
    observed = np.array([-0.3, 0.1, 1.0, 1.6, 2.2])
    posterior = npe.posterior(observed)
    drawn = posterior.sample(4000, seed=1)["rate"]
    assert ((drawn >= 0) & (drawn <= 2)).all()
    grid = np.linspace(0.0, 2.0, 401)[1:-1]
    log_q = posterior.log_prob({"rate": np.tile(grid, (5, 1))})
    for row, y in enumerate(observed):
        whole = integrate.quad(lambda rate, y=y: stats.norm.pdf(y, rate, 0.5), 0, 2)[0]
        truth = stats.norm.pdf(y, grid, 0.5) / whole
        # Half of the sum of the differences is the total variation.
        assert 0.5 * np.abs(np.exp(log_q[row]) - truth).sum() * 0.005 < 0.08
        mean = integrate.quad(lambda rate, y=y: rate * stats.norm.pdf(y, rate, 0.5), 0, 2)[0]
        assert drawn[row].mean() == pytest.approx(mean / whole, abs=0.06)


def test_sites_left_out_are_marginalised():
    def model(y):
        mu = pyro.sample("mu", dist.Normal(0.0, 1.0))
        nuisance = pyro.sample("nuisance", dist.Normal(0.0, 1.0))
        pyro.sample("y", dist.Normal(mu + nuisance, 1.0), obs=y)

    npe = NPE(model, torch.tensor(0.0), latent="mu", estimator=FullRankGaussian, embedding=SMALL)
    npe.train(2000, progress_bar=False, seed=0, settings=Training(max_epochs=2))
    posterior = npe.posterior(1.5)
    draws = posterior.draws(4000, seed=1)
    assert draws.values.keys() == {"mu"}
    assert np.isnan(draws.log_p).all()
    assert draws.values["mu"].mean() == pytest.approx(0.5, abs=0.06)
    assert draws.values["mu"].std() == pytest.approx(np.sqrt(2 / 3), abs=0.05)
    with pytest.raises(ValueError, match="no density"):
        posterior.correct()


def test_several_networks_are_averaged():
    npe = NPE(rows, torch.zeros(2), estimator=MixtureDensity, embedding=SMALL_SET)
    npe.train(500, progress_bar=False, seed=0, settings=Training(num_members=2, max_epochs=1))
    assert npe.log.best.shape == (2,)
    posterior = npe.posterior([0.5, -0.5])
    grid = np.linspace(-6, 6, 2401)
    density = np.exp(posterior.log_prob({"mu": grid}))
    assert density.sum() * 0.005 == pytest.approx(1, abs=1e-3)
    drawn = posterior.sample(4001, seed=1)["mu"]
    assert drawn.shape == (4001,)
    assert (
        stats.kstest(drawn, lambda x: np.interp(x, grid, density.cumsum() * 0.005)).pvalue > 1e-3
    )


class TestSeeds:
    def test_a_seed_decides_and_leaves_no_trace(self):
        pyro.get_param_store().setdefault("mine", torch.tensor(1.0))
        torch.manual_seed(3)
        expected = torch.rand(3)
        torch.manual_seed(3)
        found = []
        for _ in range(2):
            npe = NPE(rows, torch.zeros(2), estimator=SMALL_FLOW, embedding=SMALL_SET)
            npe.train(300, progress_bar=False, seed=5, settings=Training(max_epochs=1))
            posterior = npe.posterior(np.zeros(2))
            found.append(posterior.sample(10, seed=1)["mu"])
        np.testing.assert_array_equal(*found)
        assert torch.equal(torch.rand(3), expected)
        assert list(pyro.get_param_store().keys()) == ["mine"]
        torch.manual_seed(3)
        one = posterior.sample(10)["mu"]
        assert not np.array_equal(one, posterior.sample(10)["mu"])
        torch.manual_seed(3)
        np.testing.assert_array_equal(one, posterior.sample(10)["mu"])

    def test_in_double_precision(self):
        torch.set_default_dtype(torch.double)
        try:
            npe = NPE(rows, torch.zeros(2), estimator=SMALL_FLOW, embedding=SMALL_SET)
            npe.train(200, progress_bar=False, seed=0, settings=Training(max_epochs=1))
            draws = npe.posterior(np.zeros(2)).draws(50, seed=1)
        finally:
            torch.set_default_dtype(torch.float)
        assert np.isfinite(draws.log_weights).all()


def stays(y):
    """A model that ``vmap`` cannot follow."""
    mu = pyro.sample("mu", dist.Normal(0.0, 1.0))
    scale = 1.0 if mu > 0 else 2.0
    with pyro.plate("row", len(y)):
        pyro.sample("y", dist.Normal(mu, scale), obs=y)


class TestSimulations:
    @pytest.mark.parametrize("model", [rows, stays])
    def test_pieces_are_those_of_the_whole(self, model):
        bound = bind_model("NPE", model, (torch.zeros(3),), {})
        simulator = ModelSimulator(bound, ["mu"], ["y"], 0)
        latent, observed = simulator.simulate(np.arange(1100)).values()
        assert latent["mu"].shape == (1100,)
        assert observed["y"].shape == (1100, 3)
        for first, count in ((0, 5), (7, 4), (1020, 10)):
            rows_wanted = np.arange(first, first + count)
            part, data = simulator.simulate(rows_wanted).values()
            np.testing.assert_array_equal(part["mu"], latent["mu"][first : first + count])
            np.testing.assert_array_equal(data["y"], observed["y"][first : first + count])
        assert stats.kstest(latent["mu"], stats.norm.cdf).pvalue > 1e-4
        scale = np.where((latent["mu"] > 0) | (model is rows), 1.0, 2.0)
        noise = (observed["y"] - latent["mu"][:, None]) / scale[:, None]
        assert stats.kstest(noise.ravel(), stats.norm.cdf).pvalue > 1e-4

    def test_counts_stay_whole(self):
        def model(y):
            rate = pyro.sample("rate", dist.Gamma(2.0, 1.0))
            pyro.sample("y", dist.Binomial(10, torch.sigmoid(rate)), obs=y)

        table = NPE(model, torch.tensor(3.0)).simulate(50, seed=0)
        assert (table.latent["rate"] > 0).all()
        assert (table.observed["y"] == table.observed["y"].round()).all()


class TestExchangeable:
    def find(self, model, latent, *args):
        return find_exchangeable(bind_model("NPE", model, args, {}), latent, ["y"])

    def test_rows_with_covariates_are_not(self):
        def model(x, y):
            slope = pyro.sample("slope", dist.Normal(0.0, 1.0))
            with pyro.plate("row", len(y)):
                pyro.sample("y", dist.Normal(slope * x, 1.0), obs=y)

        assert not self.find(model, ["slope"], torch.arange(4.0), torch.zeros(4))
        assert self.find(model, ["slope"], torch.ones(4), torch.zeros(4)) == "row"

    def test_rows_of_interest_have_names(self):
        def model(y):
            mu = pyro.sample("mu", dist.Normal(0.0, 1.0))
            with pyro.plate("row", len(y)):
                own = pyro.sample("own", dist.Normal(mu, 1.0))
                pyro.sample("y", dist.Normal(own, 1.0), obs=y)

        assert not self.find(model, ["mu", "own"], torch.zeros(4))
        assert self.find(model, ["mu"], torch.zeros(4)) == "row"

    def test_a_plate_inside_of_another(self):
        def model(y):
            mu = pyro.sample("mu", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            with pyro.plate("column", 2, dim=-1), pyro.plate("row", len(y), dim=-2):
                pyro.sample("y", dist.Normal(mu, 1.0), obs=y)

        assert self.find(model, ["mu"], torch.zeros(5, 2)) == "row"
        assert NPE(model, torch.zeros(5, 2)).task.observed[0].set_axis == 0

    def test_classes_that_are_summed_out(self):
        def model(y):
            mu = pyro.sample("mu", dist.Normal(0.0, 1.0))
            with pyro.plate("row", len(y)):
                sign = pyro.sample("sign", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})
                pyro.sample("y", dist.Normal(mu + sign, 1.0), obs=y)

        assert self.find(model, ["mu"], torch.zeros(4)) == "row"


class TestRefusals:
    def test_supports_that_move(self):
        def model(y):
            top = pyro.sample("top", dist.Exponential(1.0))
            pyro.sample("part", dist.Uniform(0.0, top))
            pyro.sample("y", dist.Normal(top, 1.0), obs=y)

        with pytest.raises(ValueError, match=r"'part' \(Uniform\) hangs"):
            NPE(model, torch.tensor(0.0))
        assert NPE(model, torch.tensor(0.0), latent=["top"]).task.coordinates.dim == 1

    def test_parameters(self):
        def model(y):
            mu = pyro.sample("mu", dist.Normal(pyro.param("loc", torch.tensor(0.0)), 1.0))
            pyro.sample("y", dist.Normal(mu, 1.0), obs=y)

        with pytest.raises(ValueError, match="learnable parameters"):
            NPE(model, torch.tensor(0.0))

    def test_minibatches_and_improper_priors(self):
        def batched(y):
            mu = pyro.sample("mu", dist.Normal(0.0, 1.0))
            with pyro.plate("row", len(y), subsample_size=2) as picked:
                pyro.sample("y", dist.Normal(mu, 1.0), obs=y[picked])

        def improper(y):
            mu = pyro.sample("mu", dist.ImproperUniform(dist.constraints.real, (), ()))
            pyro.sample("y", dist.Normal(mu, 1.0), obs=y)

        with pytest.raises(ValueError, match="subsample_size"):
            NPE(batched, torch.zeros(4))
        with pytest.raises(ValueError, match="proper"):
            NPE(improper, torch.tensor(0.0))

    def test_what_is_not_trained_or_of_another_shape(self, conjugate):
        with pytest.raises(RuntimeError, match="not been trained"):
            NPE(rows, torch.zeros(4)).posterior(np.zeros(4))
        with pytest.raises(ValueError, match="shape"):
            conjugate.posterior(torch.zeros(3))


def test_a_step_is_that_of_the_host():
    settings = Training(weight_decay=0.1, step_size=0.01)
    mine, host = (
        build_network(2, Layout(3), SMALL_FLOW, SMALL, num_members=1, seed=0) for _ in range(2)
    )
    learner = NetworkLearner(mine, settings)
    optimizer = torch.optim.AdamW(host.parameters(), weight_decay=settings.weight_decay)
    rng = np.random.default_rng(0)
    u = 30 * rng.normal(size=(5, 8, 2)).astype(np.float32)
    f = rng.normal(size=(5, 8, 3)).astype(np.float32)
    learner.advance(u, f, np.array([0.5]))
    for step in range(5):
        optimizer.param_groups[0]["lr"] = 0.5 * 0.01 * (step + 1) / 200
        optimizer.zero_grad()
        (
            -host.members[0](host.to_tensor(f[step])).log_prob(host.to_tensor(u[step])).mean()
        ).backward()
        torch.nn.utils.clip_grad_norm_(host.parameters(), 5.0)
        optimizer.step()
    for found, expected in zip(mine.parameters(), host.parameters(), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)


def test_the_best_weights_come_back():
    network = build_network(1, Layout(2), FullRankGaussian, SMALL, num_members=2, seed=0)
    learner = NetworkLearner(network, Training(num_members=2))
    rng = np.random.default_rng(0)
    u = rng.normal(3.0, 1.0, size=(10, 16, 1)).astype(np.float32)
    f = rng.normal(size=(10, 16, 2)).astype(np.float32)
    before = learner.look(u[0], f[0])[0]
    learner.advance(u, f, np.ones(2))
    after = learner.look(u[0], f[0])[0]
    assert (after.mean(1) > before.mean(1)).all()
    learner.restore(np.array([True, False]))
    np.testing.assert_allclose(learner.look(u[0], f[0])[0], [before[0], after[1]], rtol=1e-6)


@pytest.mark.parametrize("kernel", [3, 4, 5])
def test_convolutions_read_every_length(kernel):
    for steps in (5, 9, 64, 101):
        embedding = Convolution(Layout(2 * steps), channels=2, kernel=kernel)
        features = torch.randn(3, 2 * steps, requires_grad=True)
        told = embedding(features)
        (gradient,) = torch.autograd.grad(told.square().sum(), features)
        assert told.shape == (3, 32)
        assert (gradient != 0).all()
    with pytest.raises(ValueError, match="channels"):
        Convolution(Layout(5), channels=2)


def test_mixtures_are_those_of_scipy():
    density = MixtureDensity(2, context_dim=3, num_components=2)
    with torch.no_grad():
        for parameter in density.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    context, at = torch.randn(3), torch.randn(50, 2)
    raw = (density.weight @ context + density.bias).detach().double().numpy().reshape(2, -1)
    shares = np.exp(raw[:, 0]) / np.exp(raw[:, 0]).sum()
    truth = 0.0
    for share, (_, *loc, log_first, log_second, below) in zip(shares, raw, strict=True):
        factor = np.array([[np.exp(log_first), 0.0], [below, np.exp(log_second)]])
        truth += share * stats.multivariate_normal(loc, factor @ factor.T).pdf(at.numpy())
    found = density(context).log_prob(at).exp().detach().numpy()
    np.testing.assert_allclose(found, truth, rtol=1e-4, atol=1e-7)
