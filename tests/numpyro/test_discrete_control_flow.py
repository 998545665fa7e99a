"""Discrete sites in the host's ``scan`` and ``cond``, against enumeration, and what is refused."""

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
from ppl_ext.numpyro.distributions import OneHotCategoricalStraightThrough

X = np.array([0.3, 1.2, 2.0])
LOGITS = np.array([0.1, 0.2, -0.3])
LIMIT = 4.5  # standard errors: with 16 numbers, a false alarm in 9,000 runs


def chain():
    """A hidden Markov chain: each state leans on the one before it."""

    def step(last, x):
        z = 1.0 * numpyro.sample("z", dist.Bernoulli(logits=last - 0.5))
        numpyro.sample("x", dist.Normal(z + 0.3 * last, 1.0), obs=x)
        return z, None

    scan(step, 0.0, jnp.asarray(X))


def one_hot_chain():
    def step(last, x):
        logits = jnp.stack([0.0, last - 0.5])
        z = numpyro.sample("z", OneHotCategoricalStraightThrough(logits=logits))
        return z[1], None

    scan(step, 0.0, jnp.asarray(X))


def toss():
    numpyro.sample("z", dist.Bernoulli(0.5))


def logits_param():
    return numpyro.param("logits", jnp.asarray(LOGITS))


def together():
    numpyro.sample("z", dist.Bernoulli(logits=logits_param()))


def in_turn():
    """Each state leans on the one before it."""

    def step(last, logit):
        return 1.0 * numpyro.sample("z", dist.Bernoulli(logits=logit + 2.0 * last)), None

    scan(step, 0.0, logits_param())


def one_hot_in_turn():
    def step(last, logit):
        logits = jnp.stack([0.0, logit + 2.0 * last])
        z = numpyro.sample("z", OneHotCategoricalStraightThrough(logits=logits))
        return z[1], None

    scan(step, 0.0, logits_param())


def on_condition():
    def draw(logit):
        return numpyro.sample("z", dist.Bernoulli(logits=logit))

    cond(True, draw, draw, logits_param()[0])


def log_bernoulli(value, logit):
    return -np.logaddexp(0.0, -logit if value else logit)


def enumerate_chain(logits, lean):
    """The bound by summing over all states, each leaning so much on the one before it."""
    bound = 0.0
    for states in product((0, 1), repeat=3):
        last = np.array([0, *states[:-1]])
        log_q = sum(map(log_bernoulli, states, logits + lean * last))
        log_p = sum(map(log_bernoulli, states, last - 0.5))
        log_p += stats.norm(np.array(states) + 0.3 * last).logpdf(X).sum()
        bound += np.exp(log_q) * (log_p - log_q)
    return bound


@pytest.mark.parametrize(
    ("guide", "lean", "estimator"),
    [
        (together, 0.0, estimators.LeaveOneOut(2)),
        (together, 0.0, estimators.LocalExpectation()),
        (in_turn, 2.0, estimators.LeaveOneOut(2)),
        (in_turn, 2.0, estimators.ScoreFunction()),
    ],
)
def test_unbiased(guide, lean, estimator):
    elbo = DiscreteELBO(estimator)

    def one(logits, key):
        return -elbo.loss(key, {"logits": logits}, chain, guide)

    keys = jax.random.split(jax.random.key(0), 4000)
    program = jax.jit(jax.vmap(jax.value_and_grad(one), (None, 0)))
    values, gradients = map(np.asarray, program(jnp.asarray(LOGITS), keys))
    ahead, behind = (
        np.array([enumerate_chain(LOGITS + step, lean) for step in sign * 1e-5 * np.eye(3)])
        for sign in (1, -1)
    )
    truths = (enumerate_chain(LOGITS, lean), (ahead - behind) / 2e-5)
    for many, truth in zip((values, gradients), truths, strict=True):
        error = many.std(0) / np.sqrt(len(keys)) + 1e-6
        assert (np.abs(many.mean(0) - truth) / error).max() < LIMIT


@pytest.mark.parametrize(
    ("model", "guide", "estimator"),
    [
        (chain, in_turn, estimators.LocalExpectation()),
        (toss, on_condition, estimators.DisARM()),
        (one_hot_chain, one_hot_in_turn, estimators.LeaveOneOut(2)),
        (one_hot_chain, one_hot_in_turn, estimators.StraightThrough()),
    ],
)
def test_what_cannot_be_drawn_again_is_refused(model, guide, estimator):
    """Each would be biased by many standard errors: what follows from a value is out of reach."""
    elbo, params = DiscreteELBO(estimator), {"logits": jnp.asarray(LOGITS)}
    message = f"DiscreteELBO: {type(estimator).__name__} was given guide site 'z'.*control flow"
    with pytest.raises(ValueError, match=f"{message}.*expected.*LeaveOneOut"):
        elbo.loss(jax.random.key(0), params, model, guide)
