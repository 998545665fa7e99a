"""The sequence GAN on NumPyro: ``python -m models.text_gan.on_numpyro``."""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import ppl_ext.numpyro as px
from models.text_gan.data import Score, judge, spell
from models.text_gan.networks_on_numpyro import (
    CLASSES,
    criticize,
    log_likelihood,
    make_critic,
    make_generator,
    write,
)
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


def gumbel_softmax(rng_key, logits, temperature):
    """A relaxed categorical draw: the noise is inside, and the temperature around it."""
    relaxed = px.distributions.RelaxedOneHotCategorical(temperature, logits=logits)
    return relaxed.sample(rng_key)


def plain_softmax(rng_key, logits, temperature):
    """Probabilities in place of a draw: nothing but the code is random."""
    return jax.nn.softmax(logits / temperature)


def straight_through(rng_key, logits, temperature):
    """A relaxed draw that is rounded on the way forward, and not on the way back."""
    soft = gumbel_softmax(rng_key, logits, temperature)
    hard = jax.nn.one_hot(soft.argmax(-1), CLASSES)
    return px.distributions.straight_through(hard, soft)


def draw_symbol(rng_key, logits, temperature):
    """A categorical draw, as the generator is used once it is trained."""
    return jax.nn.one_hot(px.distributions.sample_categorical(rng_key, logits), CLASSES)


class Wasserstein(NamedTuple):
    """The critic's score is a potential whose slope the penalty holds at one."""

    penalty: float = 10.0

    def critic_loss(self, rng_key, critic, real, fake):
        """Return fake less real, and the penalty between them."""
        share = jax.random.uniform(rng_key, (len(real), 1, 1))
        slope = jax.grad(lambda x: criticize(critic, x).sum())(share * real + (1 - share) * fake)
        # The square root has no slope at zero.
        norm = jnp.sqrt((slope**2).sum((1, 2)) + 1e-12)
        gain = criticize(critic, real).mean() - criticize(critic, fake).mean()
        return self.penalty * ((norm - 1) ** 2).mean() - gain

    def generator_loss(self, scores):
        """Return the lower, the better the critic takes the fakes to be."""
        return -scores.mean()


class NonSaturating(NamedTuple):
    """The critic is a classifier, and the generator raises the log-probability of its error."""

    def critic_loss(self, rng_key, critic, real, fake):
        """Return the cross-entropy of real and fake."""
        wrong = jax.nn.softplus(-criticize(critic, real)) + jax.nn.softplus(
            criticize(critic, fake)
        )
        return wrong.mean()

    def generator_loss(self, scores):
        """Return ``-E log D``."""
        return jax.nn.softplus(-scores).mean()


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


@partial(jax.jit, static_argnames=("recipe", "steps"))
def _play(rng_key, players, first, batches, recipe, steps):
    """Play one batch of strings for each step of the critic, two for each of the generator."""
    cooling = px.distributions.ExponentialTemperature(START, END, int(COOLED * steps))
    critic_adam, generator_adam = _make_adams(steps)

    def turn(players, given):
        generator, critic, generator_state, critic_state, average = players
        rng_key, step, batches = given
        temperature = cooling(step)
        *critic_keys, key = jax.random.split(rng_key, 1 + len(batches))
        for critic_key, symbols in zip(critic_keys, batches, strict=True):
            write_key, loss_key = jax.random.split(critic_key)
            fake = write(write_key, generator, BATCH, recipe.draw, temperature)
            slope = jax.grad(recipe.game.critic_loss, argnums=1)(
                loss_key, critic, jax.nn.one_hot(symbols, CLASSES), fake
            )
            update, critic_state = critic_adam.update(slope, critic_state)
            critic = optax.apply_updates(critic, update)

        def loss(generator):
            fake = write(key, generator, BATCH, recipe.draw, temperature)
            return recipe.game.generator_loss(criticize(critic, fake))

        update, generator_state = generator_adam.update(jax.grad(loss)(generator), generator_state)
        generator = optax.apply_updates(generator, update)
        average = optax.incremental_update(generator, average, 1 - keep_at(step))
        return (generator, critic, generator_state, critic_state, average), None

    turns = len(batches) // 2
    batches = batches.reshape(turns, 2, *batches.shape[1:])
    given = jax.random.split(rng_key, turns), first + 2 * jnp.arange(turns), batches
    return jax.lax.scan(turn, players, given)[0]


def _make_adams(steps):
    def rate(step):
        return RATE * rate_at(step, steps)

    return optax.adam(rate, 0.5, 0.9), optax.adam(lambda turn: rate(2 * turn), 0.5, 0.9)


def train(
    rng_key, recipe: Recipe, steps: int, parts: int = 16, draws: int = 20_000, seed: int = 0
):
    """Train a generator against a critic.

    Returns:
        The moving average of the generator's weights, and its score after each part of the
        steps, beginning with that of the untrained one.
    """
    generator_key, critic_key, judge_key, key = jax.random.split(rng_key, 4)
    generator, critic = make_generator(generator_key), make_critic(critic_key)
    critic_adam, generator_adam = _make_adams(steps)
    states = generator_adam.init(generator), critic_adam.init(critic)
    players = generator, critic, *states, generator
    strings, length = np.random.default_rng(seed), steps // parts
    scores = [judge_generator(judge_key, generator, draws)]
    for part in range(parts):
        batches, first = draw_batches(strings, length), part * length
        part_key = jax.random.fold_in(key, part)
        players = _play(part_key, players, first, batches, recipe, steps)
        scores.append(judge_generator(judge_key, players[-1], draws))
    return players[-1], scores


@partial(jax.jit, static_argnames="steps")
def _fit_likelihood(generator, batches, steps):
    adam = optax.adam(lambda step: RATE * rate_at(step, steps))

    def advance(carry, given):
        (generator, state), symbols = carry, given
        slope = jax.grad(
            lambda generator: -log_likelihood(generator, jax.nn.one_hot(symbols, CLASSES)).mean()
        )(generator)
        update, state = adam.update(slope, state)
        return (optax.apply_updates(generator, update), state), None

    return jax.lax.scan(advance, (generator, adam.init(generator)), batches)[0][0]


def train_by_likelihood(rng_key, steps: int, seed: int = 0):
    """Train the same LSTM on the likelihood of the strings: the ceiling, where one is known."""
    batches = draw_batches(np.random.default_rng(seed), steps)
    generator = _fit_likelihood(make_generator(rng_key), batches, steps)
    # The likelihood was that of a code of zeros.
    weight, bias = generator["cell"]
    return generator | {"cell": (weight.at[-CODE:].set(0.0), bias)}


@partial(jax.jit, static_argnames="count")
def write_symbols(rng_key, generator, count):
    """Write strings as symbols, ``[string, position]``."""
    return write(rng_key, generator, count, draw_symbol).argmax(-1)


def judge_generator(rng_key, generator, draws: int) -> Score:
    """Judge the strings that a generator writes."""
    return judge(np.asarray(write_symbols(rng_key, generator, draws)))


def run(recipe: str, steps: int, seed: int, parts: int = 16, draws: int = 100_000) -> Result:
    """Train by a recipe, "likelihood" or not at all ("untrained"), and judge what is written."""
    key, judge_key = jax.random.split(jax.random.key(seed))
    scores = []
    if recipe == "likelihood":
        generator = train_by_likelihood(key, steps, seed)
    elif recipe == "untrained":
        generator = make_generator(key)
    else:
        generator, scores = train(key, RECIPES[recipe], steps, parts, min(draws, 20_000), seed)
    score = judge_generator(judge_key, generator, draws)
    strings = spell(np.asarray(write_symbols(judge_key, generator, 24)))
    return Result(score, strings, scores)


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
    print(f"text GAN on NumPyro, {options.recipe}, {steps} steps: {result.score}")


if __name__ == "__main__":
    main()
