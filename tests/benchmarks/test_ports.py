"""The ports that reckon otherwise than their Stan program, held to the plain reckoning.

Recursions over time run by doubling or in pairs in Pyro, and the differential equation on a coarse
grid in both hosts; the truth is a loop in NumPy and SciPy's own integrator.
"""

from importlib import import_module

import numpy as np
import pytest
from problems.reference import NAMES, Problem
from scipy.integrate import solve_ivp
from scipy.special import expit, log_expit
from scipy.stats import halfcauchy, lognorm, norm

RNG = np.random.default_rng(0)
TIMES = 0.5 * np.arange(1, 21)
DATA = {
    "garch11": {"y": list(5 + RNG.normal(size=37)), "sigma1": 0.5},
    "hmm": {"y": list(RNG.choice([3.0, 9.0], size=38) + RNG.normal(size=38))},
    "one_comp": {
        "D": 30,
        "V": 2,
        "times": list(TIMES),
        "C_hat": list(5 + 8 * RNG.uniform(size=20)),
    },
}


def reckon_garch(data, z):
    mean, alpha0, alpha1, share = z[0], np.exp(z[1]), expit(z[2]), expit(z[3])
    y, variance = np.array(data["y"]), [data["sigma1"] ** 2]
    for value in y[:-1]:
        shock = alpha1 * (value - mean) ** 2
        variance.append(alpha0 + shock + share * (1 - alpha1) * variance[-1])
    jacobian = z[1] + sum(log_expit(u) + log_expit(-u) for u in z[2:]) + np.log1p(-alpha1)
    return norm.logpdf(y, mean, np.sqrt(variance)).sum() + jacobian


def reckon_hmm(data, z):
    stay, leave = expit(z[0]), expit(z[1])
    transition = np.array([[stay, 1 - stay], [leave, 1 - leave]])
    means = np.cumsum(np.exp(z[2:]))
    emission = norm.pdf(np.array(data["y"])[:, None], means, 1)
    state = emission[0]
    for row in emission[1:]:
        state = (state @ transition) * row
    jacobian = sum(log_expit(u) + log_expit(-u) for u in z[:2]) + z[2:].sum()
    return np.log(state.sum()) + norm.logpdf(means, [3, 10], 1).sum() + jacobian


def reckon_one_compartment(data, z):
    absorption, half_level, rate, sigma = np.exp(z)

    def change(time, level):
        supply = data["D"] * absorption / data["V"] * np.exp(-absorption * time)
        return supply - rate / data["V"] * level / (half_level + level)

    levels = solve_ivp(
        change, (0, 10), [0.0], t_eval=TIMES, method="LSODA", rtol=1e-10, atol=1e-12
    ).y[0]
    observed = lognorm.logpdf(data["C_hat"], sigma, scale=levels).sum()
    return observed + halfcauchy.logpdf(np.exp(z)).sum() + z.sum()


RECKONED = {"garch11": reckon_garch, "hmm": reckon_hmm, "one_comp": reckon_one_compartment}


@pytest.mark.parametrize("name", RECKONED)
def test_port_is_the_stan_program(host, name):
    content = {"data": DATA[name], "names": ["x"], "mean": [0.0], "sd": [1.0]}
    problem = import_module(f"problems.on_{host.name}").PROBLEMS[name](content)
    density = host.room.trace_density(problem.model, **problem.kwargs)
    centre = {"garch11": np.zeros(4), "hmm": np.array([0, 0, 1.0, 1.8])}.get(name, np.zeros(4))
    z = centre + np.random.default_rng(1).uniform(-0.7, 0.7, size=(4, 4))
    expected = [RECKONED[name](DATA[name], point) for point in z]
    np.testing.assert_allclose(density.log_p(z), expected, rtol=2e-5)


def test_every_problem_has_a_port(host):
    ports = import_module(f"problems.on_{host.name}")
    assert tuple(ports.PROBLEMS) == NAMES
    assert set(ports.MODELS) == set(NAMES)


def test_draws_are_collected_in_the_order_of_the_reference():
    problem = Problem("p", print, {}, ("beta[2]", "sigma"), np.zeros(2), np.ones(2))
    values = {"sigma": np.array([5.0, 6.0]), "beta": np.array([[1.0, 2.0], [3.0, 4.0]])}
    assert problem.extract(values).tolist() == [[2.0, 5.0], [4.0, 6.0]]
