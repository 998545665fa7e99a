"""Discrete sites in the host's ``scan`` and ``cond``: a model's are served, a guide's refused."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.contrib.control_flow import cond, scan
from scipy import stats

from ppl_ext.numpyro import DiscreteELBO, estimators

X = np.array([0.3, 1.2, 2.0])
LOGITS = np.array([0.1, 0.2, -0.3])
LIMIT = 4.5  # standard errors: with eight numbers, a false alarm in 18,000 runs


def chain():
    """A hidden Markov chain: each state leans on the one before it."""

    def step(last, x):
        z = 1.0 * numpyro.sample("z", dist.Bernoulli(logits=last - 0.5))
        numpyro.sample("x", dist.Normal(z + 0.3 * last, 1.0), obs=x)
        return z, None

    scan(step, 0.0, jnp.asarray(X))


def together():
    numpyro.sample("z", dist.Bernoulli(logits=numpyro.param("logits", jnp.asarray(LOGITS))))


def in_turn():
    def step(carry, logit):
        numpyro.sample("z", dist.Bernoulli(logits=logit))
        return carry, None

    scan(step, 0.0, numpyro.param("logits", jnp.asarray(LOGITS)))


def on_condition():
    def draw(logit):
        return numpyro.sample("z", dist.Bernoulli(logits=logit))

    cond(True, draw, draw, numpyro.param("logits", jnp.asarray(LOGITS))[0])


def log_bernoulli(value, logit):
    return -np.logaddexp(0.0, -logit if value else logit)


def enumerate_chain(logits):
    """The bound by summing over all states."""
    bound = 0.0
    for states in product((0, 1), repeat=3):
        log_q = sum(map(log_bernoulli, states, logits))
        last = np.array([0, *states[:-1]])
        log_p = sum(map(log_bernoulli, states, last - 0.5))
        log_p += stats.norm(np.array(states) + 0.3 * last).logpdf(X).sum()
        bound += np.exp(log_q) * (log_p - log_q)
    return bound


@pytest.mark.parametrize("estimator", [estimators.LeaveOneOut(2), estimators.LocalExpectation()])
def test_a_model_that_scans_is_unbiased(estimator):
    elbo = DiscreteELBO(estimator)

    def one(logits, key):
        return -elbo.loss(key, {"logits": logits}, chain, together)

    keys = jax.random.split(jax.random.key(0), 4000)
    program = jax.jit(jax.vmap(jax.value_and_grad(one), (None, 0)))
    values, gradients = map(np.asarray, program(jnp.asarray(LOGITS), keys))
    steps = 1e-5 * np.eye(3)
    slopes = [
        (enumerate_chain(LOGITS + step) - enumerate_chain(LOGITS - step)) / 2e-5 for step in steps
    ]
    for many, truth in ((values, enumerate_chain(LOGITS)), (gradients, slopes)):
        error = many.std(0) / np.sqrt(len(keys)) + 1e-6
        assert (np.abs(many.mean(0) - truth) / error).max() < LIMIT


@pytest.mark.parametrize("guide", [in_turn, on_condition])
def test_a_guide_that_draws_inside_is_refused(guide):
    elbo = DiscreteELBO(estimators.LeaveOneOut(2))
    message = "DiscreteELBO: discrete guide site 'z' is drawn inside scan or cond; expected"
    with pytest.raises(ValueError, match=message):
        elbo.loss(jax.random.key(0), {"logits": jnp.asarray(LOGITS)}, chain, guide)
