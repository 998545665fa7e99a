"""A machine that wears, the optimum by dynamic programming, and all of its trajectories.

Each day the machine is good, worn or broken, and is put to work or repaired. Work earns less when
it is worn and nothing when it is broken, and wears it; repair costs, and mostly makes it good.
After ``HORIZON`` days it is scrapped. A policy is an array of logits ``[day, state, action]``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.special import log_softmax

__all__ = [
    "ACTIONS",
    "HORIZON",
    "OPTIMUM",
    "REWARD",
    "START",
    "STATES",
    "TRANSITION",
    "Trajectory",
    "enumerate_gradients",
    "expected_return",
    "list_trajectories",
]

STATES, ACTIONS, HORIZON = ("good", "worn", "broken"), ("work", "repair"), 4
START = np.array([0.5, 0.3, 0.2])  # [state]
REWARD = np.array([[1.0, -0.2], [0.7, -0.3], [0.0, -0.6]])  # [state, action]
TRANSITION = np.array(  # [state, action, next state]
    [
        [[0.6, 0.4, 0.0], [1.0, 0.0, 0.0]],
        [[0.0, 0.4, 0.6], [0.9, 0.1, 0.0]],
        [[0.0, 0.0, 1.0], [0.8, 0.0, 0.2]],
    ]
)


@dataclass(frozen=True)
class Trajectory:
    """States and actions of each day, and the probability of the states given the actions."""

    states: tuple[int, ...]
    actions: tuple[int, ...]
    probability: float

    @property
    def rewards(self) -> np.ndarray:
        """What each day earns, ``[day]``."""
        return REWARD[self.states, self.actions]


def list_trajectories() -> Iterator[Trajectory]:
    """Yield every trajectory that can happen: 1,296 before impossible transitions are dropped."""
    days = range(HORIZON)
    for states in product(range(len(STATES)), repeat=HORIZON):
        for actions in product(range(len(ACTIONS)), repeat=HORIZON):
            steps = [TRANSITION[states[day], actions[day], states[day + 1]] for day in days[:-1]]
            probability = START[states[0]] * float(np.prod(steps))
            if probability > 0:
                yield Trajectory(states, actions, probability)


def enumerate_gradients(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum the score-function gradient of the expected return over all trajectories.

    Returns:
        The gradient, ``[day, state, action]``, and the variance of the estimate of one
        trajectory that weighs each score with the whole return, of the same shape.
    """
    log_policy = log_softmax(logits, axis=-1)
    mean, square = np.zeros(logits.shape), np.zeros(logits.shape)
    for each in list_trajectories():
        score = np.zeros(logits.shape)
        probability = each.probability
        for day, (state, action) in enumerate(zip(each.states, each.actions, strict=True)):
            score[day, state] -= np.exp(log_policy[day, state])
            score[day, state, action] += 1
            probability *= np.exp(log_policy[day, state, action])
        estimate = score * each.rewards.sum()
        mean += probability * estimate
        square += probability * estimate**2
    return mean, square - mean**2


def expected_return(logits: np.ndarray) -> float:
    """Return what a policy earns in expectation, by recursion from the last day."""
    policy = np.exp(log_softmax(logits, axis=-1))
    value = np.zeros(len(STATES))
    for day in reversed(range(HORIZON)):
        value = (policy[day] * (REWARD + TRANSITION @ value)).sum(-1)
    return float(START @ value)


def _find_optimum() -> float:
    value = np.zeros(len(STATES))
    for _ in range(HORIZON):
        value = (REWARD + TRANSITION @ value).max(-1)
    return float(START @ value)


OPTIMUM = _find_optimum()
