"""False alarms and delays of the plateau rule on curves whose plateau is known."""

import numpy as np
import pytest
from scipy.signal import lfilter

from ppl_ext.fitting import Plateau
from ppl_ext.fitting.stopping import cap_phases

RUNS = 40
STEPS = 20_000
LOOK = 200
STEP = np.arange(STEPS)


def stop_steps(curve, rule=None, runs=RUNS):
    """Step at which each run ends, STEPS + 1 where it does not."""
    rule = rule or Plateau()
    stops = []
    for seed in range(runs):
        losses = curve(np.random.default_rng(seed))
        looks = range(LOOK, STEPS + 1, LOOK)
        stops.append(next((n for n in looks if rule(losses[:n])), STEPS + 1))
    return np.array(stops)


def white(rng):
    return rng.normal(size=STEPS)


def autocorrelated(rng, coefficient):
    noise = rng.normal(size=STEPS + 1000) * np.sqrt(1 - coefficient**2)
    return lfilter([1], [1, -coefficient], noise)[1000:]


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize(
    ("noise", "latest"),
    [
        (white, 6000),
        (lambda rng: rng.standard_t(2, size=STEPS), 18_000),
        (lambda rng: rng.standard_exponential(size=STEPS), 10_000),
    ],
    ids=["normal", "heavy tails", "skewed"],
)
def test_pure_noise_ends(noise, latest, scale):
    stops = stop_steps(lambda rng: scale * noise(rng), runs=10)
    assert stops.max() <= latest


@pytest.mark.parametrize("height", [10.0, 1000.0])
def test_exponential_decay_ends_after_the_gap_is_closed_and_not_much_later(height):
    time_scale = 400
    closed = time_scale * np.log(height / 0.1)  # the gap is a tenth of the noise
    stops = stop_steps(lambda rng: height * np.exp(-STEP / time_scale) + white(rng))
    assert stops.min() >= closed
    assert np.median(stops) <= 3 * closed


def test_decay_without_noise_ends_within_the_tolerance():
    losses = 100 * np.exp(-STEP / 500)
    (stop,) = stop_steps(lambda rng: losses, runs=1)
    assert losses[stop - 1] < 0.01
    assert stop < 2.5 * 500 * np.log(100 / 0.01)


@pytest.mark.parametrize(
    ("fall_per_step", "most_false_alarms"), [(1 / 1000, 0.0), (1 / 5000, 0.15)]
)
def test_steady_descent_is_seen_under_the_noise(fall_per_step, most_false_alarms):
    stops = stop_steps(lambda rng: white(rng) - fall_per_step * STEP)
    assert np.mean(stops <= STEPS) <= most_false_alarms


def test_steady_descent_is_seen_under_heavy_tails():
    stops = stop_steps(lambda rng: rng.standard_t(2, size=STEPS) - STEP / 1000)
    assert (stops > STEPS).all()


def test_power_law_descent_is_not_called_a_plateau():
    stops = stop_steps(lambda rng: white(rng) + 300 / np.sqrt(1 + STEP), runs=20)
    assert (stops > STEPS).all()


@pytest.mark.parametrize("size", [0.05, 1.0])
def test_random_walk_is_no_plateau(size):
    def walk(rng):
        return white(rng) + np.cumsum(size * rng.normal(size=STEPS))

    assert (stop_steps(walk) > STEPS).all()


def test_autocorrelation_is_waited_out():
    # Seven effective losses in a hundred: the same precision takes that much longer.
    correlated = stop_steps(lambda rng: autocorrelated(rng, 0.75), runs=20)
    independent = stop_steps(white, runs=20)
    assert np.median(correlated) > 3 * np.median(independent)
    assert correlated.min() > independent.max()


def test_rising_losses_are_no_plateau():
    assert (stop_steps(lambda rng: white(rng) + STEP / 1000, runs=20) > STEPS).all()


def test_constant_losses_end_at_once():
    assert "stopped falling" in Plateau()(np.ones(200))
    assert Plateau()(np.ones(199)) is None


def test_more_is_asked_of_a_smaller_fraction():
    coarse = stop_steps(white, Plateau(noise_fraction=0.2), runs=10)
    fine = stop_steps(white, Plateau(noise_fraction=0.1), runs=10)
    # Precision goes with the inverse square root of the number of losses.
    assert 2.5 < np.median(fine) / np.median(coarse) < 6


@pytest.mark.parametrize(
    "settings",
    [{"tolerance": -1.0}, {"noise_fraction": -0.1}, {"confidence": 0.4}, {"min_steps": 39}],
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match="Plateau"):
        Plateau(**settings)


def test_only_phases_that_another_follows_are_capped():
    later = [True]
    rule = cap_phases(lambda losses: "rest" if losses[-1] == 0 else None, 1000, lambda: later[0])
    assert rule(np.ones(999)) is None
    assert rule(np.zeros(999)) == "rest"
    assert rule(np.ones(1000)) == "1,000 steps with one step size"
    later[0] = False
    assert rule(np.ones(5000)) is None
