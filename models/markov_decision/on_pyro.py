"""REINFORCE on Pyro: ``python -m models.markov_decision.on_pyro``."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from pyro import poutine

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
    transition, reward = torch.tensor(TRANSITION).float(), torch.tensor(REWARD).float()
    rewards = []
    with pyro.plate("episode", episodes):
        state = pyro.sample("state_0", dist.Categorical(torch.tensor(START).float()))
        for day in range(HORIZON):
            action = pyro.sample(f"action_{day}", dist.Categorical(logits=logits[day, state]))
            rewards.append(reward[state, action])
            if day < HORIZON - 1:
                state = pyro.sample(
                    f"state_{day + 1}", dist.Categorical(transition[state, action])
                )
    return torch.stack(rewards, -1)


def whole_return(rewards):
    """Weigh the score of each day with all that the episode earned."""
    return rewards.sum(-1, keepdim=True).expand_as(rewards)


def reward_to_go(rewards):
    """Weigh the score of each day with what was earned from then on: nothing earlier is due."""
    return rewards.flip(-1).cumsum(-1).flip(-1)


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


def make_surrogate(logits, episodes, weigh):
    """Return what has the value of the mean return and the gradient of REINFORCE.

    ``sum_day log policy(action | state) * weight``, averaged over episodes; the log-probabilities
    are those of the trace.
    """
    trace = poutine.trace(run_machine).get_trace(logits, episodes)
    rewards = trace.nodes["_RETURN"]["value"]
    actions = [trace.nodes[f"action_{day}"] for day in range(HORIZON)]
    scores = torch.stack([site["fn"].log_prob(site["value"]) for site in actions], -1)
    weights = weigh(rewards).detach()
    # The first term is zero and has the gradient.
    return ((scores - scores.detach()) * weights).sum(-1).mean() + rewards.sum(-1).mean()


def estimate_gradients(logits, episodes, weigh, batches):
    """Draw estimates of the gradient of the expected return, ``[batch, day, state, action]``."""
    logits = torch.as_tensor(logits).float().requires_grad_()
    found = [
        torch.autograd.grad(make_surrogate(logits, episodes, weigh), logits)[0]
        for _ in range(batches)
    ]
    return torch.stack(found).numpy()


def improve(weigh, steps, episodes=32, rate=0.1):
    """Climb with Adam from the policy that tosses a coin.

    Returns:
        Expected return before each step and after the last, exactly, ``[step]``.
    """
    logits = torch.zeros(HORIZON, len(STATES), len(ACTIONS), requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=rate)
    returns = []
    for _ in range(steps):
        returns.append(expected_return(logits.detach().numpy()))
        optimizer.zero_grad()
        (-make_surrogate(logits, episodes, weigh)).backward()
        optimizer.step()
    return np.array([*returns, expected_return(logits.detach().numpy())])


def main(argv: Sequence[str] | None = None) -> None:
    """Compare the weights of the score, and print what the policy lacks to the optimum."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="the score line only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=Path, help="PNG file to write")
    options = parser.parse_args(argv)
    batches, steps = (20, 30) if options.smoke else (500, 300)

    pyro.set_rng_seed(options.seed)
    start = np.zeros((HORIZON, len(STATES), len(ACTIONS)))
    best = "reward-to-go, baseline"
    names = [best] if options.smoke else list(WEIGHTS)
    comparison = Comparison(
        estimates={name: estimate_gradients(start, 32, WEIGHTS[name], batches) for name in names},
        returns={name: improve(WEIGHTS[name], steps) for name in names},
    )
    if not options.smoke:
        print(comparison.describe())
    if options.picture:
        draw_picture(comparison, options.picture)
    earned = comparison.returns[best][-1]
    print(
        f"Markov decision on Pyro: {best}: gradient within {comparison.worst_z(best):.1f} "
        f"standard errors of the enumeration; policy earns {earned:.4f} of {OPTIMUM:.4f}"
    )


if __name__ == "__main__":
    main()
