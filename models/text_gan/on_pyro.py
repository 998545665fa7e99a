"""The sequence GAN on Pyro: ``python -m models.text_gan.on_pyro``."""

import argparse
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyro
import torch
from torch.nn.functional import one_hot, softplus

import ppl_ext.pyro as px
from models.text_gan.data import Score, judge, spell
from models.text_gan.networks_on_pyro import CLASSES, Generator, make_critic
from models.text_gan.picture import draw_picture
from models.text_gan.recipe import (
    BATCH,
    CODE,
    COOLED,
    END,
    OTHERS,
    RATE,
    START,
    STEPS,
    Result,
    draw_batches,
    keep_at,
    rate_at,
)


def gumbel_softmax(logits, temperature):
    """A relaxed categorical draw: the noise is inside, and the temperature around it."""
    # The logits are the network's own: nothing to check at each symbol.
    relaxed = px.distributions.RelaxedOneHotCategorical(
        temperature, logits=logits, validate_args=False
    )
    return relaxed.rsample()


def plain_softmax(logits, temperature):
    """Probabilities in place of a draw: nothing but the code is random."""
    return (logits / temperature).softmax(-1)


def straight_through(logits, temperature):
    """A relaxed draw that is rounded on the way forward, and not on the way back."""
    soft = gumbel_softmax(logits, temperature)
    hard = to_one_hot(soft.argmax(-1))
    return px.distributions.straight_through(hard, soft)


def draw_symbol(logits, temperature):
    """A categorical draw, as the generator is used once it is trained."""
    return to_one_hot(px.distributions.sample_categorical(logits))


def to_one_hot(symbols):
    """Symbols as one-hot vectors."""
    return one_hot(symbols, CLASSES).float()


class Wasserstein(NamedTuple):
    """The critic's score is a potential whose slope the penalty holds at one."""

    penalty: float = 10.0

    def critic_loss(self, critic, real, fake):
        """Return fake less real, and the penalty between them."""
        share = torch.rand(len(real), 1, 1)
        between = (share * real + (1 - share) * fake).requires_grad_()
        slope = torch.autograd.grad(critic(between).sum(), between, create_graph=True)[0]
        # The square root has no slope at zero.
        norm = (slope.square().sum((1, 2)) + 1e-12).sqrt()
        on_real, on_fake = critic(torch.cat([real, fake])).chunk(2)
        return self.penalty * (norm - 1).square().mean() - on_real.mean() + on_fake.mean()

    def generator_loss(self, scores):
        """Return the lower, the better the critic takes the fakes to be."""
        return -scores.mean()


class NonSaturating(NamedTuple):
    """The critic is a classifier, and the generator raises the log-probability of its error."""

    def critic_loss(self, critic, real, fake):
        """Return the cross-entropy of real and fake."""
        return (softplus(-critic(real)) + softplus(critic(fake))).mean()

    def generator_loss(self, scores):
        """Return ``-E log D``."""
        return softplus(-scores).mean()


class Recipe(NamedTuple):
    """How the generator's symbols reach the critic, and what the two play for."""

    draw: Callable = gumbel_softmax
    game: Wasserstein | NonSaturating = Wasserstein()


RECIPES = {
    "gumbel": Recipe(),
    "softmax": Recipe(draw=plain_softmax),
    "straight-through": Recipe(draw=straight_through),
    "naive": Recipe(game=NonSaturating()),
}


def _make_adam(network, betas=(0.9, 0.999)):
    return torch.optim.Adam(network.parameters(), lr=RATE, betas=betas)


def _descend(adam, loss, share):
    """One step at a share of the learning rate."""
    for group in adam.param_groups:
        group["lr"] = RATE * share
    adam.zero_grad()
    loss.backward()
    adam.step()


def train(recipe: Recipe, steps: int, parts: int = 16, draws: int = 20_000, seed: int = 0):
    """Train a generator against a critic.

    Returns:
        The moving average of the generator's weights, and its score after each part of the
        steps, beginning with that of the untrained one.
    """
    generator, critic = Generator(), make_critic()
    average = deepcopy(generator).requires_grad_(False)
    generator_adam, critic_adam = (_make_adam(each, (0.5, 0.9)) for each in (generator, critic))
    cooling = px.distributions.ExponentialTemperature(START, END, int(COOLED * steps))
    strings, length = np.random.default_rng(seed), steps // parts
    scores = [judge_generator(average, draws)]
    for part in range(parts):
        for step, symbols in enumerate(draw_batches(strings, length), part * length):
            temperature, share = cooling(step - step % 2), rate_at(step, steps)
            with torch.no_grad():
                fake = generator.write(BATCH, recipe.draw, temperature)
            real = to_one_hot(torch.as_tensor(symbols).long())
            _descend(critic_adam, recipe.game.critic_loss(critic, real, fake), share)
            if step % 2:
                fake = generator.write(BATCH, recipe.draw, temperature)
                _descend(generator_adam, recipe.game.generator_loss(critic(fake)), share)
                with torch.no_grad():
                    for mean, weight in zip(
                        average.parameters(), generator.parameters(), strict=True
                    ):
                        mean.lerp_(weight, 1 - keep_at(step))
        scores.append(judge_generator(average, draws))
    return average, scores


def train_by_likelihood(steps: int, seed: int = 0):
    """Train the same LSTM on the likelihood of the strings: the ceiling, where one is known."""
    generator = Generator()
    adam = _make_adam(generator)
    for step, symbols in enumerate(draw_batches(np.random.default_rng(seed), steps)):
        strings = to_one_hot(torch.as_tensor(symbols).long())
        _descend(adam, -generator.log_likelihood(strings).mean(), rate_at(step, steps))
    with torch.no_grad():
        # The likelihood was that of a code of zeros.
        generator.cell.weight_ih[:, -CODE:] = 0.0
    return generator


@torch.no_grad()
def write_symbols(generator, count):
    """Write strings as symbols, ``[string, position]``."""
    return generator.write(count, draw_symbol).argmax(-1)


def judge_generator(generator, draws: int) -> Score:
    """Judge the strings that a generator writes."""
    return judge(write_symbols(generator, draws).numpy())


def run(recipe: str, steps: int, seed: int, parts: int = 16, draws: int = 100_000) -> Result:
    """Train by a recipe, "likelihood" or not at all ("untrained"), and judge what is written."""
    pyro.set_rng_seed(seed)
    scores = []
    if recipe == "likelihood":
        generator = train_by_likelihood(steps, seed)
    elif recipe == "untrained":
        generator = Generator()
    else:
        generator, scores = train(RECIPES[recipe], steps, parts, min(draws, 20_000), seed)
    strings = spell(write_symbols(generator, 24).numpy())
    return Result(judge_generator(generator, draws), strings, scores)


def main(argv: Sequence[str] | None = None) -> None:
    """Train the generator and print its score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a few steps and the score line")
    parser.add_argument("--recipe", choices=[*RECIPES, *OTHERS], default="gumbel")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=Path, help="PNG file to write")
    options = parser.parse_args(argv)
    steps = 20 if options.smoke else options.steps

    sizes = {"parts": 1, "draws": 1_000} if options.smoke else {}
    result = run(options.recipe, steps, options.seed, **sizes)
    if not options.smoke:
        print("   ".join(result.strings))
    if options.picture:
        draw_picture(result.scores, steps, result.strings, options.picture)
    print(f"text GAN on Pyro, {options.recipe}, {steps} steps: {result.score}")


if __name__ == "__main__":
    main()
