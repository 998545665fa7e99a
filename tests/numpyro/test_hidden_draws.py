"""What a model draws out of the fit's sight is refused by name, or drawn anew for every draw."""

import random

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers
from scipy import stats

from ppl_ext.numpyro import Stochastic, fit, trace_density

Y = np.array([0.5, 1.5])


def mixed(y):
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    z = numpyro.sample("z", dist.Bernoulli(0.5))
    numpyro.sample("y", dist.Normal(mu + 3.0 * z, 1.0), obs=y)


def jittered(jitter):
    def model(y):
        mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(mu + jitter(), 1.0), obs=y)

    return model


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (handlers.block(mixed, hide=["z"]), "the hidden site 'z'"),
        (jittered(lambda: jax.random.normal(numpyro.prng_key())), "numpyro.prng_key()"),
        (jittered(np.random.normal), "numbers of np.random"),
        (jittered(random.random), "Python's module random"),
    ],
)
@pytest.mark.parametrize("call", [trace_density, lambda *args: fit(jax.random.key(0), *args)])
def test_hidden_draws_are_refused_by_name(call, model, words):
    with pytest.raises(ValueError, match=r"(?s): the model draws .*numpyro.sample") as caught:
        call(model, Y)
    assert words in str(caught.value)


def test_what_is_hidden_with_a_value_is_no_draw():
    model = handlers.block(handlers.substitute(mixed, data={"z": jnp.array(1)}), hide=["z"])
    z = np.zeros((1, 1))
    expected = trace_density(handlers.condition(mixed, data={"z": jnp.array(1)}), Y).log_p(z)
    np.testing.assert_allclose(trace_density(model, Y).log_p(z), expected - np.log(0.5), rtol=1e-6)


def test_a_site_that_a_handler_shows_anew_is_not_hidden():
    def model(y):
        numpyro.sample("mu", dist.Normal(0.0, 1.0), obs=y)

    assert trace_density(handlers.uncondition(model), 0.5).sites[0].name == "mu"


def test_advice_about_a_discrete_site_is_advice_that_works():
    with pytest.raises(ValueError, match=r"'z' is discrete.*MixtureSameFamily"):
        trace_density(mixed, Y)


def test_a_guide_of_the_users_own_meets_every_step_with_new_draws():
    def model(y):
        mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
        noise = jax.random.normal(numpyro.prng_key())
        numpyro.deterministic("noise", noise)
        numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)

    def guide(y):
        numpyro.sample("mu", dist.Normal(numpyro.param("loc", 0.0), 0.5))

    settings = Stochastic(max_steps=200)
    fitted = fit(jax.random.key(0), model, Y, guide=guide, optimizer=settings, progress_bar=False)
    noise = fitted.draws(jax.random.key(1), 2000).values["noise"]
    assert noise.std() == pytest.approx(1.0, abs=0.1)


def chain():
    a = numpyro.sample("a", dist.Normal(0.0, 1.0))
    b = numpyro.sample("b", dist.Normal(a, 1.0))
    numpyro.sample("y", dist.Normal(b, 1.0), obs=2.0)


VALUES = {"a": jnp.array(1.0)}
TRACE = {"a": {"type": "sample", "name": "a", "value": 1.0, "is_observed": False, "infer": {}}}


@pytest.mark.parametrize(
    "model", [handlers.substitute(chain, data=VALUES), handlers.replay(chain, trace=TRACE)]
)
@pytest.mark.parametrize("call", [trace_density, lambda model: fit(jax.random.key(0), model)])
def test_a_value_that_would_not_be_heeded_is_refused(call, model):
    """The host's NUTS leaves 'a' free: b has mean 4/3 where with a held at 1 it is 3/2."""
    with pytest.raises(ValueError, match=r"site 'a' a value.*handlers.condition\(model, data="):
        call(model)


def test_the_line_that_holds_a_site_holds_it():
    held = trace_density(handlers.condition(chain, data=VALUES))
    b = np.linspace(-1.0, 3.0, 5)
    expected = stats.norm.logpdf(1.0) + stats.norm.logpdf(b, 1.0) + stats.norm.logpdf(2.0, b)
    np.testing.assert_allclose(held.log_p(b[:, None]), expected, rtol=1e-5)
