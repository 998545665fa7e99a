"""Programs with discrete sites, and their bounds beside the enumerated ones.

A z-test fails where an error exceeds 4.5 standard errors: with some 25 numbers a test, a false
alarm in 6,000 runs. The seeds are fixed.
"""

from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.hosts import Host
from tests.oracles.discrete_bounds import CLASSES, PARAMS, Params, X, slopes

LIMIT = 4.5


def make_programs(host: Host, params: Params = PARAMS) -> SimpleNamespace:
    """Make pairs of model and guide, their parameters read by name."""
    ppl, dist, array = host.ppl, host.dist, host.array
    one_hot = host.room.distributions.OneHotCategoricalStraightThrough
    mask = ppl.poutine.mask if host.name == "pyro" else ppl.handlers.mask
    scale = ppl.poutine.scale if host.name == "pyro" else ppl.handlers.scale

    def param(name):
        return ppl.param(name, array(params[name]))

    def joint():
        m = ppl.sample("m", dist.Normal(0.0, 1.0))
        a = ppl.sample("a", dist.Bernoulli(array(0.4)))
        with ppl.plate("row", 3):
            z = ppl.sample("z", one_hot(logits=param("prior")))
            y = ppl.sample("y", dist.Bernoulli(logits=z @ array(CLASSES - 1)))
            mean = z @ param("w") + 0.7 * y + 0.5 * a + m
            ppl.sample("x", dist.Normal(mean, 1.0), obs=array(X))

    def autoregressive():
        ppl.sample("m", dist.Normal(param("m_loc"), 0.5))
        a = ppl.sample("a", dist.Bernoulli(logits=param("a_logit")))
        with ppl.plate("row", 3):
            z = ppl.sample("z", one_hot(logits=param("z_logits") + 0.5 * a * array(CLASSES)))
            ppl.sample("y", dist.Bernoulli(logits=z @ param("y_logits")))

    def single():
        with ppl.plate("row", 3):
            z = ppl.sample("z", one_hot(logits=param("prior")))
            ppl.sample("x", dist.Normal(z @ param("w"), 1.0), obs=array(X))

    def factorised():
        with ppl.plate("row", 3):
            ppl.sample("z", one_hot(logits=param("z_logits")))

    def indexed():
        with ppl.plate("row", 3):
            z = ppl.sample("z", dist.Categorical(logits=param("prior")))
            ppl.sample("x", dist.Normal(param("w")[z], 1.0), obs=array(X))

    def indexed_guide():
        with ppl.plate("row", 3):
            ppl.sample("z", dist.Categorical(logits=param("z_logits")))

    def meeting():
        with ppl.plate("row", 2):
            z = ppl.sample("z", one_hot(logits=array(np.zeros(3))))
        w = z @ param("w")
        ppl.sample("x", dist.Normal(w[0] * w[1] + w[0], 1.0), obs=array(0.5))

    def meeting_guide():
        with ppl.plate("row", 2):
            ppl.sample("z", one_hot(logits=param("z_logits")[:2]))

    def weighed(program):
        def run():
            seen = array(np.array([True, False, True]))
            with scale(scale=2.0), mask(mask=seen):
                program()

        return run

    def without_data():
        with ppl.plate("row", 3):
            ppl.sample("z", one_hot(logits=param("prior")))

    return SimpleNamespace(
        joint=(joint, autoregressive),
        single=(single, factorised),
        indexed=(indexed, indexed_guide),
        meeting=(meeting, meeting_guide),
        weighed=(weighed(single), weighed(factorised)),
        without_data=(without_data, factorised),
    )


def estimate(
    host: Host, elbo: Any, pair: Any, names: Any, times: int, params: Params = PARAMS
) -> tuple[np.ndarray, Params]:
    """Return values ``[time]`` and gradients ``{name: [time, ...]}`` of the bound."""
    if host.name == "numpyro":
        import jax

        given = {name: host.array(params[name]) for name in names}
        one = jax.value_and_grad(lambda p, key: -elbo.loss(key, p, *pair))
        run = jax.jit(jax.vmap(one, (None, 0)))
        values, gradients = run(given, jax.random.split(jax.random.key(1), times))
        return np.array(values), {name: np.array(each) for name, each in gradients.items()}
    import pyro
    import torch

    values, gradients = [], {name: [] for name in names}
    pyro.set_rng_seed(1)
    with pyro.get_param_store().scope():
        for _ in range(times):
            bound = -elbo.differentiable_loss(*pair)
            values.append(bound.item())
            leaves = [pyro.param(name).unconstrained() for name in names]
            if not leaves:
                continue
            found = torch.autograd.grad(bound, leaves, allow_unused=True)
            for name, each, leaf in zip(names, found, leaves, strict=True):
                each = torch.zeros_like(leaf) if each is None else each
                gradients[name].append(each.numpy())
    return np.array(values), {name: np.array(each) for name, each in gradients.items()}


def worst_z(estimates: np.ndarray, truth: Any) -> float:
    """Return the largest error in standard errors; single precision counts as one of 1e-5."""
    error = np.abs(estimates.mean(0) - truth)
    return float(np.max(error / (estimates.std(0) / np.sqrt(len(estimates)) + 1e-5)))


def times(host: Host, number: int) -> int:
    """Draw fewer where draws are not compiled."""
    return number if host.name == "numpyro" else number // 40


def check(
    host: Host,
    estimator: Any,
    pair: Any,
    names: Any,
    truth: Any,
    number: int,
    params: Params = PARAMS,
) -> None:
    """Compare value and gradient of the bound with the truth in z-tests."""
    elbo = host.room.DiscreteELBO(estimator)
    values, gradients = estimate(host, elbo, pair, names, times(host, number), params)
    assert worst_z(values, truth(params)) < LIMIT
    exact = slopes(truth, params)
    for name in names:
        assert worst_z(gradients[name], exact[name]) < LIMIT, name
