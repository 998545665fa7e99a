"""The pairs that contenders learn from follow the laws of their task."""

import numpy as np
import pytest
from problems.simulated import draw_held_out, draw_pairs, simulate
from scipy import stats

from models.simulation_tasks.data import TASKS
from tests.oracles.simulation_tasks import to_uniform


@pytest.mark.parametrize("name", TASKS)
def test_pairs_follow_their_laws(name):
    theta, x = simulate(name, np.random.default_rng(0), 1000)
    uniform = to_uniform(
        name, theta.astype(float), x.astype(float).reshape(-1, *TASKS[name].x_shape)
    )
    chances = [stats.kstest(column, "uniform").pvalue for column in uniform.T]
    assert min(chances) > 1e-3 / len(chances)


def test_pairs_are_the_same_each_time_and_none_is_held_out():
    theta, x = draw_pairs("two_moons", 50, seed=3)
    again, _ = draw_pairs("two_moons", 50, seed=3)
    other, _ = draw_pairs("two_moons", 50, seed=4)
    held_out, _ = draw_held_out("two_moons")
    assert theta.shape == x.shape == (50, 2)
    np.testing.assert_array_equal(theta, again)
    assert not np.isin(theta, other).any()
    assert not np.isin(theta, held_out).all(1).any()
