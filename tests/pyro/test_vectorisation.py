"""Distributions that torch and Pyro write in ways that ``vmap`` cannot follow.

The truth is the host itself, called draw by draw outside of the library.
"""

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from scipy import stats

from ppl_ext.pyro import fit, trace_density
from ppl_ext.pyro.tracing.vectorisation.counts import draw_counts

COUNTS = torch.tensor([[1.0, 2.0, 2.0], [3.0, 0.0, 2.0]], dtype=torch.float64)
CLASSES = torch.tensor([0, 3])
STEPS = torch.tensor([0.1, 1.2, -0.3, 0.8, 1.1], dtype=torch.float64)
PAIR = torch.tensor([[1.0, 0.4], [0.4, 2.0]], dtype=torch.float64)
EYE = torch.eye(2, dtype=torch.float64)
NORMAL = dist.MultivariateNormal(torch.zeros(2, dtype=torch.float64), EYE)


def cutpoints(v):
    return v[0] + torch.cat([v.new_zeros(1), v[1:].exp().cumsum(0)])


# From three real numbers, a distribution; and data.
CASES = {
    "probabilities": (lambda v: dist.Multinomial(5, v.softmax(-1)), COUNTS),
    "logits": (lambda v: dist.Multinomial(5, logits=v), COUNTS),
    "a class that cannot be": (
        lambda v: dist.Multinomial(5, v.exp() * torch.tensor([1.0, 0.0, 1.0])),
        COUNTS[1:],
    ),
    "in a batch and masked": (
        lambda v: dist.Multinomial(5, v.exp().expand(2, 3)).mask(torch.tensor([True, False])),
        COUNTS,
    ),
    "counts of many zeros": (
        lambda v: dist.DirichletMultinomial(v.exp(), 5, is_sparse=True),
        COUNTS,
    ),
    "ordered classes": (
        lambda v: dist.OrderedLogistic(v[0] * v.new_tensor([0.1, 0.5]), cutpoints(v)),
        CLASSES,
    ),
    "ordered classes expanded": (
        lambda v: dist.OrderedLogistic(v[0], cutpoints(v)).expand([2]).to_event(1),
        CLASSES,
    ),
    "degrees of freedom": (
        lambda v: dist.Wishart(2.0 + v[0].exp(), scale_tril=EYE * v[1].exp()),
        PAIR,
    ),
    "degrees of freedom expanded": (
        lambda v: dist.Wishart(2.0 + v[0].exp(), EYE).expand([2]).to_event(1),
        torch.stack([PAIR, EYE]),
    ),
    "a chain of states": (
        lambda v: dist.DiscreteHMM(
            v[:2], torch.stack([v[:2], v[1:]]), dist.Normal(v[:2], 1.0), duration=5
        ),
        STEPS,
    ),
    "a Gaussian chain": (
        lambda v: dist.GaussianHMM(NORMAL, EYE * v[0], NORMAL, EYE + v[1], NORMAL, duration=5),
        torch.stack([STEPS, STEPS.flip(0)], -1),
    ),
}


def model(make, y):
    v = pyro.sample("v", dist.Normal(y.new_zeros(3, dtype=torch.float64), 1.0).to_event(1))
    fn = make(v)
    if y.dim() > fn.event_dim:
        with pyro.plate("row", len(y)):
            pyro.sample("y", fn, obs=y)
    else:
        pyro.sample("y", fn, obs=y)


def hosts_own(make, y, z):
    v = torch.tensor(z, requires_grad=True)
    trace = poutine.trace(poutine.condition(model, data={"v": v})).get_trace(make, y)
    log_p = trace.log_prob_sum()
    return log_p.item(), torch.autograd.grad(log_p, v)[0].numpy()


@pytest.mark.parametrize("case", CASES)
def test_all_draws_at_once_are_the_host_draw_by_draw(case):
    make, y = CASES[case]
    density = trace_density(lambda: model(make, y))
    assert density.batched
    z = np.random.default_rng(0).normal(size=(6, 3))
    log_p, gradient = density.log_density(z)
    wanted = [hosts_own(make, y, each) for each in z]
    np.testing.assert_allclose(log_p, [value for value, _ in wanted], rtol=1e-6)
    np.testing.assert_allclose(gradient, np.stack([g for _, g in wanted]), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(density.log_density(z[:1])[0], log_p[:1], rtol=1e-10)


def test_the_hosts_distributions_are_left_as_they_are():
    trace_density(lambda: model(*CASES["logits"]))
    assert type(dist.Multinomial(5, torch.ones(3))) is dist.Multinomial
    with pytest.raises(NotImplementedError, match="Inhomogeneous"):
        dist.DirichletMultinomial(torch.ones(3), torch.tensor([1, 2])).sample()


def test_too_few_degrees_of_freedom_have_no_density():
    def too_few():
        df = 2.0 + pyro.sample("x", dist.Normal(0.0, 1.0))
        pyro.sample("y", dist.Wishart(df, torch.eye(3)), obs=torch.eye(3))

    log_p = trace_density(too_few).log_p(np.array([[1.0], [-0.5]]))
    expected = stats.norm.logpdf(1.0) + stats.wishart(3, np.eye(3)).logpdf(np.eye(3))
    np.testing.assert_allclose(log_p, [expected, -np.inf], rtol=1e-5)


def test_counts_of_any_totals_are_multinomial():
    total = torch.tensor([3, 2])
    probs = torch.tensor([[0.5, 0.3, 0.2], [0.0, 0.1, 0.9]], dtype=torch.float64)
    torch.manual_seed(0)
    counts = draw_counts(total.expand(20_000, 2), probs.expand(20_000, 2, 3)).numpy()
    for row in range(2):
        found, times = np.unique(counts[:, row], axis=0, return_counts=True)
        expected = stats.multinomial(total[row].item(), probs[row].numpy()).pmf(found)
        assert expected.sum() == pytest.approx(1.0, abs=1e-6)  # every outcome has come
        assert stats.chisquare(times, 20_000 * expected / expected.sum()).pvalue > 0.001


def test_predicted_counts_have_the_totals_of_their_rows():
    totals = torch.tensor([5, 9, 1])
    y = torch.tensor([[1.0, 2.0, 2.0], [3.0, 3.0, 3.0], [0.0, 1.0, 0.0]])

    def rows(y):
        alpha = pyro.sample("alpha", dist.LogNormal(torch.zeros(3), 0.01).to_event(1))
        with pyro.plate("row", 3):
            pyro.sample("y", dist.DirichletMultinomial(alpha, totals), obs=y)

    drawn = fit(rows, y, seed=0, climb=False).draws(400, posterior_predictive=True)
    counts = drawn.posterior_predictive["y"]
    np.testing.assert_array_equal(counts.sum(-1), np.tile([5, 9, 1], (400, 1)))
    # With concentrations of one the first count is uniform from 0 to the total in one of two
    # dimensions: a beta-binomial of 1 and 2.
    for row, total in enumerate([5, 9, 1]):
        law = stats.betabinom(total, 1.0, 2.0)
        error = counts[:, row, 0].mean() - law.mean()
        assert abs(error) < 4 * law.std() / 20
