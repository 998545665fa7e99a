"""The simulation tasks: both hosts simulate and score them as SciPy says."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from models.simulation_tasks.closed_form import OBSERVED, find_reference
from models.simulation_tasks.data import TASKS
from tests.oracles.simulation_tasks import log_likelihood, log_prior, to_uniform

PAIRS = 1000


def simulate(host, worked, name):
    """Run a model under an outer plate: its sites ``theta`` and ``x``."""

    def model():
        with host.ppl.plate("pair", PAIRS, dim=-1 - (len(TASKS[name].x_shape) - 1)):
            worked("simulation_tasks").MODELS[name]()

    trace = host.trace(model)
    return trace["theta"], trace["x"]


def flatten(values, *shape):
    return np.asarray(values, float).reshape(PAIRS, *shape)


@pytest.mark.parametrize("name", TASKS)
def test_one_program_simulates_many_and_scores_them(host, worked, name):
    theta, x = simulate(host, worked, name)
    parameters = flatten(theta["value"], TASKS[name].dim)
    data = flatten(x["value"], *TASKS[name].x_shape)
    uniform = to_uniform(name, parameters, data)
    chances = [stats.kstest(column, "uniform").pvalue for column in uniform.T]
    assert min(chances) > 1e-3 / len(chances)
    prior = flatten(theta["fn"].log_prob(theta["value"]))
    np.testing.assert_allclose(prior, log_prior(name, parameters), rtol=1e-4, atol=1e-4)
    likelihood = flatten(x["fn"].log_prob(x["value"]), -1).sum(1)
    truth = log_likelihood(name, parameters, data)
    told = np.ones(PAIRS, bool)
    if name == "slcp":  # float32 cannot tell points apart whose standard deviation is tiny
        told = abs(parameters[:, 2:4]).min(1) > 0.3
    np.testing.assert_allclose(likelihood[told], truth[told], rtol=1e-3, atol=0.02)


def test_the_moon_has_mass_one_at_each_side_of_its_centre(host, worked):
    moon = worked("simulation_tasks").Moon(host.array([0.3, -0.2]))

    def mass(x, y):
        points = np.stack(np.meshgrid(0.3 + x, -0.2 + y, indexing="ij"), axis=-1)
        density = np.exp(np.asarray(moon.log_prob(host.array(points)), float))
        return integrate.simpson(integrate.simpson(density, x=y), x=x)

    y = np.linspace(-0.2, 0.2, 801)
    assert mass(np.linspace(1e-6, 0.2, 401), y) == pytest.approx(1, abs=1e-3)
    assert mass(np.linspace(-0.2, -1e-6, 401), y) < 1e-12


def test_moons_keep_their_shape_when_expanded(host, worked):
    moon = worked("simulation_tasks").Moon(host.array([0.0, 0.0])).expand((3,))
    assert tuple(moon.batch_shape) == (3,)
    assert tuple(moon.event_shape) == (2,)
    values = host.random(moon.sample, (5,))
    assert tuple(values.shape) == (5, 3, 2)
    assert len(np.unique(np.asarray(values)[..., 0])) == 15
    assert tuple(moon.log_prob(values).shape) == (5, 3)


@pytest.mark.parametrize("name", OBSERVED)
def test_the_closed_form_is_the_integral_over_each_dimension(name):
    """Where the likelihood is a product over dimensions, or two of them side by side."""
    x = OBSERVED[name]
    found = find_reference(name, x)
    bound = {"gaussian_linear": 3.0, "gaussian_linear_uniform": 1.0, "gaussian_mixture": 10.0}[
        name
    ]
    grid = np.linspace(-bound, bound, 20_001)
    prior = stats.norm.pdf(grid, 0, math.sqrt(0.1)) if name == "gaussian_linear" else 1.0
    scales = (1.0, 0.1) if name == "gaussian_mixture" else (math.sqrt(0.1),)
    parts = [prior * stats.norm.pdf(x[:, None], grid, scale) for scale in scales]
    masses = [integrate.simpson(part, x=grid) for part in parts]

    def expect(power):
        moments = [integrate.simpson(grid**power * part, x=grid) for part in parts]
        others = [mass.prod() / mass for mass in masses]
        total = sum(mass.prod() for mass in masses)
        return sum(m * other for m, other in zip(moments, others, strict=True)) / total

    mean = expect(1)
    np.testing.assert_allclose(found.mean["theta"], mean, atol=1e-6)
    np.testing.assert_allclose(found.sd["theta"], np.sqrt(expect(2) - mean**2), atol=1e-6)
