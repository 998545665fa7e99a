"""Threads that fit at once wait for each other, and each has the answer that it has alone."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

Y = np.random.default_rng(0).normal(size=50)


def make(host, shift):
    def model(y):
        mu = host.ppl.sample(f"mu{shift}", host.dist.Normal(0.0, 10.0))
        with host.ppl.plate("row", len(y)):
            host.ppl.sample(f"y{shift}", host.dist.Normal(mu, 1.0), obs=y)

    return model


def seeded(host, function, *args, **kwargs):
    """The room's own seeding: the test's would reseed torch for all threads."""
    key = host.random(lambda first: (first,)) if host.name == "numpyro" else ()
    seed = {"seed": 0} if host.name == "pyro" else {}
    return function(*key, *args, **seed, **kwargs)


def test_threads_fit_side_by_side(host):
    def work(shift):
        model = make(host, shift)
        fitted = seeded(host, host.room.fit, model, host.array(Y + shift), progress_bar=False)
        draws = seeded(host, fitted.draws, 1000)
        log_p = host.room.trace_density(model, host.array(Y)).log_p(np.zeros((2, 1)))
        return draws.values[f"mu{shift}"].mean(), fitted.report().verdict, log_p[0]

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(work, range(4)))
    for shift, (mean, verdict, log_p) in enumerate(results):
        assert mean == pytest.approx(Y.mean() + shift, abs=0.05)
        assert verdict == "good"
        assert log_p == results[0][2]


def test_threads_fit_by_stochastic_gradients_side_by_side(host):
    settings = host.room.Stochastic(max_steps=200)

    def work(shift):
        model = make(host, shift)
        fitted = seeded(
            host,
            host.room.fit,
            model,
            host.array(Y),
            optimizer=settings,
            num_starts=1,
            progress_bar=False,
        )
        return fitted.log.final_loss

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(work, range(4)))
    np.testing.assert_allclose(together, [work(shift) for shift in range(4)], rtol=1e-6)
