"""REINFORCE on NumPyro: ``python -m models.markov_decision.on_numpyro``."""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
from jax.lax import stop_gradient
from numpyro import handlers

from models.markov_decision.comparison import Comparison
from models.markov_decision.data import (
    ACTIONS,
    HORIZON,
    OPTIMUM,
    REWARD,
    START,
    STATES,
    TRANSITION,
    expected_return,
)
from models.markov_decision.picture import draw_picture


def run_machine(logits, episodes):
    """Work or repair for ``HORIZON`` days: an ordinary program, with a plate of episodes.

    Returns:
        Rewards ``[episode, day]``.
    """
    transition, reward = jnp.asarray(TRANSITION), jnp.asarray(REWARD)
    rewards = []
    with numpyro.plate("episode", episodes):
        state = numpyro.sample("state_0", dist.Categorical(jnp.asarray(START)))
        for day in range(HORIZON):
            action = numpyro.sample(f"action_{day}", dist.Categorical(logits=logits[day, state]))
            rewards.append(reward[state, action])
            if day < HORIZON - 1:
                state = numpyro.sample(
                    f"state_{day + 1}", dist.Categorical(transition[state, action])
                )
    return jnp.stack(rewards, -1)


def whole_return(rewards):
    """Weigh the score of each day with all that the episode earned."""
    return jnp.broadcast_to(rewards.sum(-1, keepdims=True), rewards.shape)


def reward_to_go(rewards):
    """Weigh the score of each day with what was earned from then on: nothing earlier is due."""
    return jnp.flip(jnp.flip(rewards, -1).cumsum(-1), -1)


def less_the_others(weigh):
    """Subtract from each weight the mean of the other episodes', which keeps the mean gradient."""

    def weigh_against_others(rewards):
        weights = weigh(rewards)
        return (weights - weights.mean(0)) * (len(weights) / (len(weights) - 1))

    return weigh_against_others


WEIGHTS = {
    "whole return": whole_return,
    "whole return, baseline": less_the_others(whole_return),
    "reward-to-go": reward_to_go,
    "reward-to-go, baseline": less_the_others(reward_to_go),
}


def make_surrogate(rng_key, logits, episodes, weigh):
    """Return what has the value of the mean return and the gradient of REINFORCE.

    ``sum_day log policy(action | state) * weight``, averaged over episodes; the log-probabilities
    are those of the trace.
    """
    rewards = None

    def program():
        nonlocal rewards
        rewards = run_machine(logits, episodes)

    trace = handlers.trace(handlers.seed(program, rng_key)).get_trace()
    actions = [trace[f"action_{day}"] for day in range(HORIZON)]
    scores = jnp.stack([site["fn"].log_prob(site["value"]) for site in actions], -1)
    weights = stop_gradient(weigh(rewards))
    # The first term is zero and has the gradient.
    return ((scores - stop_gradient(scores)) * weights).sum(-1).mean() + rewards.sum(-1).mean()


@partial(jax.jit, static_argnames=("episodes", "weigh", "batches"))
def estimate_gradients(rng_key, logits, episodes, weigh, batches):
    """Draw estimates of the gradient of the expected return, ``[batch, day, state, action]``."""

    def estimate(rng_key):
        return jax.grad(make_surrogate, argnums=1)(rng_key, logits, episodes, weigh)

    return jax.vmap(estimate)(jax.random.split(rng_key, batches))


@partial(jax.jit, static_argnames=("weigh", "steps", "episodes", "rate"))
def _climb(rng_key, weigh, steps, episodes, rate):
    adam = optax.adam(rate)

    def advance(carry, rng_key):
        logits, state = carry
        slope = jax.grad(make_surrogate, argnums=1)(rng_key, logits, episodes, weigh)
        update, state = adam.update(-slope, state)
        return (optax.apply_updates(logits, update), state), logits

    start = jnp.zeros((HORIZON, len(STATES), len(ACTIONS)))
    keys = jax.random.split(rng_key, steps)
    (end, _), way = jax.lax.scan(advance, (start, adam.init(start)), keys)
    return jnp.concatenate([way, end[None]])


def improve(rng_key, weigh, steps, episodes=32, rate=0.1):
    """Climb with Adam from the policy that tosses a coin.

    Returns:
        Expected return before each step and after the last, exactly, ``[step]``.
    """
    way = np.asarray(_climb(rng_key, weigh, steps, episodes, rate))
    return np.array([expected_return(logits) for logits in way])


def main(argv: Sequence[str] | None = None) -> None:
    """Compare the weights of the score, and print what the policy lacks to the optimum."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="the score line only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=Path, help="PNG file to write")
    options = parser.parse_args(argv)
    batches, steps = (20, 30) if options.smoke else (500, 300)

    key, climb_key = jax.random.split(jax.random.key(options.seed))
    start = jnp.zeros((HORIZON, len(STATES), len(ACTIONS)))
    best = "reward-to-go, baseline"
    names = [best] if options.smoke else list(WEIGHTS)
    comparison = Comparison(
        estimates={
            name: np.asarray(estimate_gradients(key, start, 32, WEIGHTS[name], batches))
            for name in names
        },
        returns={name: improve(climb_key, WEIGHTS[name], steps) for name in names},
    )
    if not options.smoke:
        print(comparison.describe())
    if options.picture:
        draw_picture(comparison, options.picture)
    earned = comparison.returns[best][-1]
    print(
        f"Markov decision on NumPyro: {best}: gradient within {comparison.worst_z(best):.1f} "
        f"standard errors of the enumeration; policy earns {earned:.4f} of {OPTIMUM:.4f}"
    )


if __name__ == "__main__":
    main()
