"""Discrete sites that are summed out: against mixtures, forward algorithms and enumeration."""

import itertools

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import MCMC, NUTS, Trace_ELBO, TraceGraph_ELBO, config_enumerate
from pyro.infer.autoguide import AutoNormal
from scipy import special, stats

from ppl_ext.draws import estimate_loo
from ppl_ext.pyro import AutoMeanField, Stochastic, fit, from_mcmc, load, trace_density

ONE = torch.tensor(1.0, dtype=torch.float64)
PARALLEL = {"enumerate": "parallel"}
RNG = np.random.default_rng(3)
Y = torch.tensor(np.where(RNG.random(100) < 0.3, -2.0, 1.5) + RNG.normal(size=100))
SERIES = torch.tensor([0.3, -1.2, 0.8, 2.1, 1.7], dtype=torch.float64)
POINTS = RNG.normal(size=(7, 3))


def components():
    share = pyro.sample("share", dist.Beta(2 * ONE, 2 * ONE))
    low = pyro.sample("low", dist.Normal(-ONE, 1.0))
    gap = pyro.sample("gap", dist.LogNormal(0 * ONE, 1.0))
    return torch.stack([share, 1 - share]), torch.stack([low, low + gap])


def mixture(y):
    weights, means = components()
    with pyro.plate("row", len(y)):
        z = pyro.sample("z", dist.Categorical(weights), infer=PARALLEL)
        mean = pyro.deterministic("mean", means[z])
        pyro.sample("y", dist.Normal(mean, 1.0), obs=y)


def written_out(y):
    weights, means = components()
    with pyro.plate("row", len(y)):
        rows = dist.MixtureSameFamily(dist.Categorical(weights), dist.Normal(means, 1.0))
        pyro.sample("y", rows, obs=y)


def chain(y):
    weights, means = components()
    stay = torch.stack([weights, weights.flip(0)])
    z = torch.tensor(0)
    for t in pyro.markov(range(len(y))):
        z = pyro.sample(f"z{t}", dist.Categorical(stay[z]), infer=PARALLEL)
        pyro.sample(f"y{t}", dist.Normal(means[z], 1.0), obs=y[t])


def take_forward(share, low, gap, series):
    """Log likelihood of a series by the forward algorithm."""
    stay = np.array([[share, 1 - share], [1 - share, share]])
    state = np.array([1.0, 0.0])
    for y in series:
        state = (state @ stay) * stats.norm.pdf(y, [low, low + gap])
    return np.log(state.sum())


def test_a_mixture_is_the_one_written_out():
    summed, written = trace_density(mixture, Y), trace_density(written_out, Y)
    assert summed.batched
    for found, expected in zip(
        summed.log_density(POINTS), written.log_density(POINTS), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_a_chain_is_summed_by_the_forward_algorithm():
    summed = trace_density(chain, SERIES)
    values = summed.constrain(POINTS)
    forward = [
        take_forward(*point, SERIES.numpy())
        for point in zip(values["share"], values["low"], values["gap"], strict=True)
    ]
    prior = trace_density(components).log_p(POINTS)
    np.testing.assert_allclose(summed.log_p(POINTS) - prior, forward, rtol=1e-10)
    assert summed.batched


def enumerate_chain(share, low, gap):
    """Posterior probability of every path of the chain."""
    stay = np.array([[share, 1 - share], [1 - share, share]])
    paths = np.array(list(itertools.product([0, 1], repeat=len(SERIES))))
    before = np.hstack([np.zeros((len(paths), 1), int), paths[:, :-1]])
    logs = np.log(stay[before, paths]).sum(1)
    logs += stats.norm.logpdf(SERIES.numpy(), np.array([low, low + gap])[paths]).sum(1)
    return paths, special.softmax(logs)


def test_paths_are_drawn_jointly():
    fixed = poutine.condition(chain, {"share": 0.7 * ONE, "low": -0.5 * ONE})

    def model():
        fixed(SERIES)

    draws = fit(model, climb=False, progress_bar=False).draws(4000, seed=0)
    drawn = np.stack([draws.values[f"z{t}"] for t in range(len(SERIES))], 1)
    assert drawn.dtype == np.int64
    # The probability of each path, averaged over the draws of the one site that is free.
    expected = np.mean([enumerate_chain(0.7, -0.5, gap)[1] for gap in draws.values["gap"]], 0)
    number = drawn @ (2 ** np.arange(len(SERIES))[::-1])
    counts = np.bincount(number, minlength=32)
    assert stats.chisquare(counts, 4000 * expected).pvalue > 1e-3


def test_a_datum_has_its_marginal_likelihood():
    draws = fit(mixture, Y, climb=False, progress_bar=False).draws(50, seed=0)
    share, low, gap = (draws.values[name][:, None] for name in ("share", "low", "gap"))
    densities = [stats.norm.pdf(Y.numpy(), low), stats.norm.pdf(Y.numpy(), low + gap)]
    expected = np.log(share * densities[0] + (1 - share) * densities[1])
    np.testing.assert_allclose(draws.log_likelihood["y"], expected, rtol=1e-9)
    means = np.where(draws.values["z"] == 0, low, low + gap)
    np.testing.assert_allclose(draws.values["mean"], means)


def test_a_fit_of_a_mixture_is_the_fit_of_the_one_written_out():
    summed = fit(mixture, Y, guide=AutoMeanField, progress_bar=False)
    written = fit(written_out, Y, guide=AutoMeanField, progress_bar=False)
    assert summed.report().elbo == pytest.approx(written.report().elbo, abs=1e-6)
    for name, values in written.linear_response().draws(100, seed=0).values.items():
        repaired = summed.linear_response().draws(100, seed=0).values[name]
        np.testing.assert_allclose(repaired, values, rtol=1e-5, atol=1e-8)


def test_data_are_predicted_with_the_assignments_of_the_draw():
    far = torch.tensor([-50.0, 50.0, 50.0])

    def model():
        mean = pyro.sample("mean", dist.LogNormal(3.9, 0.01))
        with pyro.plate("row", 3):
            z = pyro.sample("z", dist.Bernoulli(0.5), infer=PARALLEL)
            pyro.sample("y", dist.Normal(torch.where(z == 1, mean, -mean), 1.0), obs=far)

    draws = fit(model, climb=False, progress_bar=False).draws(200, posterior_predictive=True)
    assert draws.values["z"].dtype == np.int64
    assert (draws.values["z"] == [0, 1, 1]).all()
    assert (np.sign(draws.posterior_predictive["y"]) == [-1, 1, 1]).all()


def test_a_chain_leaves_no_datum_out():
    draws = fit(chain, SERIES, climb=False, progress_bar=False).draws(100)
    assert not draws.log_likelihood
    with pytest.raises(ValueError, match="no log likelihood"):
        estimate_loo(draws.to_datatree())


def sum_by_hand(mean):
    """Groups with a kind, rows with a feature: log density of the data, by loops."""
    total = 0.0
    for group in GROUPS:
        kinds = [
            np.log(kind)
            + sum(
                np.log(sum(f * stats.norm.pdf(y, mean + k + 2 * j) for j, f in enumerate(FEATURE)))
                for y in group
            )
            for k, kind in enumerate(KIND)
        ]
        total += special.logsumexp(kinds)
    return total


GROUPS = RNG.normal(size=(2, 3))
KIND, FEATURE = [0.2, 0.5, 0.3], [0.6, 0.4]


def nested(one_hot):
    mean = pyro.sample("mean", dist.Normal(0 * ONE, 1.0))
    probs = torch.tensor(KIND, dtype=torch.float64)
    with pyro.plate("group", 2, dim=-2):
        if one_hot:
            kind = pyro.sample("kind", dist.OneHotCategorical(probs), infer=PARALLEL)
            kind = (kind * torch.arange(3)).sum(-1)
        else:
            kind = pyro.sample("kind", dist.Categorical(probs), infer=PARALLEL)
        with pyro.plate("row", 3, dim=-1):
            feature = pyro.sample("feature", dist.Bernoulli(FEATURE[1] * ONE), infer=PARALLEL)
            obs = torch.tensor(GROUPS)
            pyro.sample("y", dist.Normal(mean + kind + 2 * feature, 1.0), obs=obs)


@pytest.mark.parametrize("one_hot", [False, True])
def test_plates_nest(one_hot):
    z = np.array([[-1.0], [0.5]])
    expected = [sum_by_hand(mean) + stats.norm.logpdf(mean) for (mean,) in z]
    density = trace_density(nested, one_hot)
    np.testing.assert_allclose(density.log_p(z), expected, rtol=1e-10)
    draws = fit(nested, one_hot, climb=False, progress_bar=False).draws(10)
    # As the host has it: the site stands outside of the inner plate, at dim=-1.
    assert draws.values["kind"].shape == ((10, 2, 1, 3) if one_hot else (10, 2, 1))
    assert draws.values["feature"].shape == (10, 2, 3)
    assert not draws.log_likelihood  # rows share the kind of their group


def test_what_a_mask_hides_adds_nothing():
    def model(y, seen):
        _, means = components()
        with pyro.plate("row", len(y)), poutine.mask(mask=seen):
            z = pyro.sample("z", dist.Categorical(ONE.new_ones(2)), infer=PARALLEL)
            pyro.sample("y", dist.Normal(means[z], 1.0), obs=y)

    seen = torch.arange(100) < 60
    masked, short = trace_density(model, Y, seen), trace_density(model, Y[:60], seen[:60])
    np.testing.assert_allclose(masked.log_p(POINTS), short.log_p(POINTS), rtol=1e-10)


def test_missing_counts_are_summed_out():
    counts, seen = torch.tensor([0, 1, 1, 1]), torch.tensor([True, True, True, False])

    @config_enumerate
    def model():
        p = pyro.sample("p", dist.Beta(ONE, ONE))
        with pyro.plate("row", 4):
            pyro.sample("y", dist.Categorical(torch.stack([p, 1 - p])), obs=counts, obs_mask=seen)

    # p (1 - p)^2, on the unconstrained space of p.
    p = special.expit(0.7)
    log_p = np.log(p * (1 - p) ** 2) + np.log(p * (1 - p))
    assert trace_density(model).log_p(np.array([[0.7]])) == pytest.approx(log_p, rel=1e-9)
    values = fit(model, climb=False, progress_bar=False).draws(300).values["y"]
    assert (values[:, :3] == [0, 1, 1]).all()
    assert set(values[:, 3]) == {0, 1}


def test_factors_apart_do_not_vanish():
    """Two features that each rule out, in float32, what the other wants."""

    def model():
        a = pyro.sample("a", dist.Normal(0.0, 1.0))
        z = pyro.sample("z", dist.Categorical(torch.tensor([0.5, 0.5])), infer=PARALLEL)
        for name, sign in (("x", 1.0), ("y", -1.0)):
            mean = sign * torch.tensor([0.0, 20.0])[z] + a
            pyro.sample(name, dist.Normal(mean, 1.0), obs=torch.tensor(20.0))

    log_p, gradient = trace_density(model).log_density(np.zeros((1, 1)))
    halves = [2 * stats.norm.logpdf(20), stats.norm.logpdf(0) + stats.norm.logpdf(40)]
    expected = special.logsumexp(halves) + np.log(0.5) + stats.norm.logpdf(0)
    assert log_p[0] == pytest.approx(expected, rel=1e-6)
    assert gradient[0, 0] == pytest.approx(40.0, rel=1e-5)


def rows(y, size=None):
    mean = pyro.sample("mean", dist.Normal(0 * ONE, 1.0))
    with pyro.plate("row", len(y), subsample_size=size) as i:
        z = pyro.sample("z", dist.Bernoulli(0.3 * ONE), infer=PARALLEL)
        pyro.sample("y", dist.Normal(mean + 3 * z, 1.0), obs=y[i])


def check_draws(draws, y):
    mean = draws.values["mean"][:, None]
    expected = np.log(0.7 * stats.norm.pdf(y, mean) + 0.3 * stats.norm.pdf(y, mean + 3))
    np.testing.assert_allclose(draws.log_likelihood["y"], expected, rtol=1e-9)
    log_p = expected.sum(1) + stats.norm.logpdf(mean[:, 0])
    np.testing.assert_allclose(draws.log_p, log_p, rtol=1e-9)
    assert set(draws.values["z"].flat) == {0, 1}


def test_a_loss_of_the_host_sums_too():
    y = Y[:6]
    few = Stochastic(max_steps=20)
    for guide in (AutoMeanField, AutoNormal):
        fitted = fit(rows, y, 3, guide=guide, optimizer=few, num_starts=1, progress_bar=False)
        check_draws(fitted.draws(50), y.numpy())
    with pytest.raises(ValueError, match=r"Trace_ELBO was given.*\['z'\].*TraceEnum_ELBO"):
        fit(rows, y, optimizer=Stochastic(elbo=Trace_ELBO()), progress_bar=False)


def test_a_guide_that_draws_the_sites_keeps_them():
    def guide(y):
        loc = pyro.param("loc", 0 * ONE)
        pyro.sample("mean", dist.Normal(loc, 0.5))
        with pyro.plate("row", len(y)):
            pyro.sample("z", dist.Bernoulli(0.5 * ONE))

    y = Y[:6]
    few = Stochastic(max_steps=20, elbo=TraceGraph_ELBO())
    fitted = fit(rows, y, guide=guide, optimizer=few, num_starts=1, progress_bar=False)
    draws = fitted.draws(50, seed=0)
    mean, z = draws.values["mean"][:, None], draws.values["z"]
    joint = stats.norm.logpdf(y.numpy(), mean + 3 * z) + stats.bernoulli.logpmf(z, 0.3)
    log_p = joint.sum(1) + stats.norm.logpdf(mean[:, 0])
    np.testing.assert_allclose(draws.log_p, log_p, rtol=1e-9)


def test_draws_of_the_host_get_assignments():
    mcmc = MCMC(NUTS(rows), num_samples=20, warmup_steps=10, disable_progbar=True)
    mcmc.run(Y[:6])
    tree = from_mcmc(mcmc)
    assert tree["posterior"]["z"].shape == (1, 20, 6)
    assert tree["log_likelihood"]["y"].shape == (1, 20, 6)


def test_a_saved_fit_draws_the_same(tmp_path):
    fitted = fit(rows, Y[:6], climb=False, progress_bar=False)
    fitted.save(tmp_path / "fit.safetensors")
    again = load(tmp_path / "fit.safetensors", rows, Y[:6])
    for name, values in fitted.draws(20, seed=0).values.items():
        np.testing.assert_array_equal(again.draws(20, seed=0).values[name], values)


def test_a_zero_is_none_if_an_assignment_allows_the_datum():
    def model(tops):
        pyro.sample("x", dist.Normal(0.0, 1.0))
        z = pyro.sample("z", dist.Categorical(torch.ones(2)), infer=PARALLEL)
        pyro.sample("y", dist.Uniform(0.0, torch.tensor(tops)[z]), obs=torch.tensor(1.5))

    density = trace_density(model, [1.0, 2.0])
    expected = np.log(0.5 / 2.0) + stats.norm.logpdf(0.3)
    assert density.log_p(np.array([[0.3]])) == pytest.approx(expected, rel=1e-6)
    assert density.explain(np.zeros(1)) == ""
    nowhere = trace_density(model, [1.0, 1.2]).explain(np.zeros(1))
    assert "site 'y' (Uniform) is -inf: 1 of its 1 values" in nowhere


LENGTHS = torch.tensor([3, 4, 2])
TONES = torch.tensor(RNG.integers(2, size=(3, 4, 2)), dtype=torch.float64)


def music(moves, tones):
    """Sequences of unequal lengths, several tones at a time, as in the host's own example."""
    with pyro.plate("sequence", 3, dim=-2):
        x = torch.tensor(0)
        for t in pyro.markov(range(4)):
            with poutine.mask(mask=(t < LENGTHS).unsqueeze(-1)):
                x = pyro.sample(f"x{t}", dist.Categorical(moves[x]), infer=PARALLEL)
                with pyro.plate("tone", 2, dim=-1):
                    played = dist.Bernoulli(tones[x, torch.arange(2)])
                    pyro.sample(f"y{t}", played, obs=TONES[:, t])


def test_sequences_may_differ_in_length():
    def model():
        moves = pyro.sample("moves", dist.Dirichlet(ONE.new_ones(2, 2)).to_event(1))
        music(moves, pyro.sample("tones", dist.Beta(ONE, ONE).expand([2, 2]).to_event(2)))

    density, z = trace_density(model), RNG.normal(size=(1, 6))
    values = density.constrain(z)
    moves, tones = values["moves"][0], values["tones"][0]
    expected = np.log(tones * (1 - tones)).sum() + np.log(moves).sum()  # the Jacobians
    for length, played in zip(LENGTHS.tolist(), TONES.numpy(), strict=True):
        paths = np.array(list(itertools.product([0, 1], repeat=length)))
        before = np.hstack([np.zeros((len(paths), 1), int), paths[:, :-1]])
        logs = np.log(moves[before, paths]).sum(1)
        logs += stats.bernoulli.logpmf(played[:length], tones[paths]).sum((1, 2))
        expected += special.logsumexp(logs)
    np.testing.assert_allclose(density.log_p(z), expected, rtol=1e-10)
