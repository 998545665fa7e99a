"""Threads wait for each other; a fork, where JAX would hang, and traced programs are refused."""

import multiprocessing
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from ppl_ext.numpyro import fit, trace_density
from ppl_ext.numpyro.tracing.turns import in_turn


def make(shift):
    def model(y):
        mu = numpyro.sample(f"mu{shift}", dist.Normal(0.0, 10.0))
        numpyro.sample(f"y{shift}", dist.Normal(mu, 1.0), obs=y)

    return model


def test_threads_fit_side_by_side():
    y = np.random.default_rng(0).normal(size=50)

    def work(shift):
        fitted = fit(
            jax.random.key(0),
            make(shift),
            y + shift,
            enable_x64=shift % 2 == 0,
            progress_bar=False,
        )
        draws = fitted.draws(jax.random.key(1), 1000)
        return fitted.bound.x64, draws.values[f"mu{shift}"].mean(), fitted.report().verdict

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(work, range(8)))
    for shift, (x64, mean, verdict) in enumerate(results):
        assert x64 == (shift % 2 == 0)
        assert mean == pytest.approx(y.mean() + shift, abs=0.05)
        assert verdict == "good"
    assert not jax.config.jax_enable_x64


def report_refusal(queue):
    try:
        trace_density(make(0), np.zeros(3))
    except RuntimeError as error:
        queue.put(str(error))


@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_is_refused_in_the_child():
    trace_density(make(0), np.zeros(3))
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=report_refusal, args=(queue,))
    child.start()
    message = queue.get()
    child.join()
    assert message.startswith("trace_density: process")
    assert "get_context('spawn')" in message


@pytest.mark.parametrize(("before", "asked"), [("torch", ["jax", "torch"]), ("jax", [])])
def test_funsor_reckons_in_jax_and_is_left_as_it_was(monkeypatch, before, asked):
    """It has one backend for all of a process, and Pyro's may have been asked for last."""
    calls = []
    funsor = SimpleNamespace(get_backend=lambda: before, set_backend=calls.append)
    monkeypatch.setitem(sys.modules, "funsor", funsor)
    assert in_turn(lambda: len(calls))() == len(asked[:1])
    assert calls == asked


@pytest.mark.parametrize(
    "call",
    [
        lambda y: jax.jit(lambda y: fit(jax.random.key(0), centre, y))(y),
        lambda y: jax.jit(lambda key: fit(key, centre, y))(jax.random.key(0)),
        lambda y: fit(jax.random.key(0), nested, y, progress_bar=False),
    ],
    ids=["data", "key", "model"],
)
def test_inside_of_a_traced_program_is_refused(call):
    with pytest.raises(ValueError, match=r"fit: .* are traced.*Fit outside"):
        call(np.array([0.5, 1.5]))


def centre(y):
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)


def nested(y):
    inner = fit(jax.random.key(0), centre, np.ones(3), progress_bar=False)
    mean = inner.draws(jax.random.key(1), 100).values["mu"].mean()
    numpyro.sample("mu", dist.Normal(mean, 1.0))
