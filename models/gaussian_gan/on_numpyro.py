"""The Gaussian GAN on NumPyro: ``python -m models.gaussian_gan.on_numpyro``."""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax

from models.gaussian_gan.data import DATA_LOC, DATA_SCALE, START_LOC, START_SCALE
from models.gaussian_gan.judging import Judgement, judge
from models.gaussian_gan.picture import draw_picture

BATCH = 512


def make_generator():
    """A Gaussian whose location and scale are learned by the pathwise gradient."""
    return {"loc": jnp.array(START_LOC), "log_scale": jnp.log(START_SCALE)}


def generate(rng_key, generator, count):
    """Draw fakes."""
    fakes = dist.Normal(generator["loc"], jnp.exp(generator["log_scale"]))
    return fakes.sample(rng_key, (count,))


def make_discriminator(rng_key, hidden=32):
    """A network from a point to the logit of its being of the data: a list of layers."""
    sizes = [(1, hidden), (hidden, hidden), (hidden, 1)]
    keys = jax.random.split(rng_key, len(sizes))
    return [_make_layer(key, *size) for key, size in zip(keys, sizes, strict=True)]


def _make_layer(rng_key, inputs, outputs):
    weight_key, bias_key = jax.random.split(rng_key)
    width = inputs**-0.5
    weight = jax.random.uniform(weight_key, (inputs, outputs), minval=-width, maxval=width)
    return weight, jax.random.uniform(bias_key, (outputs,), minval=-width, maxval=width)


def discriminate(discriminator, x):
    """Return the logit of each point's being of the data."""
    *hidden, (weight, bias) = discriminator
    state = x[..., None]
    for layer_weight, layer_bias in hidden:
        state = jnp.tanh(state @ layer_weight + layer_bias)
    return (state @ weight + bias)[..., 0]


def discriminator_loss(discriminator, real, fake):
    """``-E log D(real) - E log(1 - D(fake))``, with D the sigmoid of the network."""
    on_real, on_fake = discriminate(discriminator, real), discriminate(discriminator, fake)
    return jax.nn.softplus(-on_real).mean() + jax.nn.softplus(on_fake).mean()


def generator_loss(discriminator, fake):
    """``-E log(D / (1 - D))``: the logit itself, and ``KL(q || p)`` where D is the best."""
    return -discriminate(discriminator, fake).mean()


@partial(jax.jit, static_argnames=("steps", "generator_rate"))
def train(rng_key, discriminator, generator, steps, generator_rate=0.0):
    """Algorithm 1: a step of the discriminator, a step of the generator, and so on.

    Returns:
        Discriminator, generator, and location and scale after each step, ``[step, 2]``.
    """
    data = dist.Normal(DATA_LOC, DATA_SCALE)
    # Rates that fall to nothing let the noise of the minibatches average out.
    critic = optax.adam(optax.linear_schedule(1e-2, 0.0, steps))
    mover = optax.adam(optax.linear_schedule(generator_rate, 0.0, steps))

    def advance(state, rng_key):
        discriminator, generator, critic_state, mover_state = state
        real_key, fake_key, moving_key = jax.random.split(rng_key, 3)
        real, fake = data.sample(real_key, (BATCH,)), generate(fake_key, generator, BATCH)
        slope = jax.grad(discriminator_loss)(discriminator, real, fake)
        update, critic_state = critic.update(slope, critic_state)
        discriminator = optax.apply_updates(discriminator, update)

        def loss(generator):
            return generator_loss(discriminator, generate(moving_key, generator, BATCH))

        update, mover_state = mover.update(jax.grad(loss)(generator), mover_state)
        generator = optax.apply_updates(generator, update)
        where = jnp.stack([generator["loc"], jnp.exp(generator["log_scale"])])
        return (discriminator, generator, critic_state, mover_state), where

    start = discriminator, generator, critic.init(discriminator), mover.init(generator)
    end, way = jax.lax.scan(advance, start, jax.random.split(rng_key, steps))
    return end[0], end[1], way


def judge_generator(rng_key, discriminator, generator) -> Judgement:
    """Set a discriminator beside the best one, and the generator's loss beside the divergence."""

    def evaluate(x):
        return np.asarray(jax.nn.sigmoid(discriminate(discriminator, jnp.asarray(x))))

    loss = generator_loss(discriminator, generate(rng_key, generator, 200_000))
    return judge(
        evaluate, float(loss), float(generator["loc"]), float(jnp.exp(generator["log_scale"]))
    )


def run(rng_key, steps):
    """Fit a discriminator to a generator at rest, judge it, and let both take turns.

    Returns:
        The judgement, and location and scale of the generator on its way, ``[step, 2]``.
    """
    network_key, rest_key, judging_key, key = jax.random.split(rng_key, 4)
    discriminator, generator = make_discriminator(network_key), make_generator()
    discriminator, _, _ = train(rest_key, discriminator, generator, steps)
    at_rest = judge_generator(judging_key, discriminator, generator)
    way = train(key, discriminator, generator, steps, generator_rate=1e-2)[2]
    return at_rest, np.asarray(way)


def main(argv: Sequence[str] | None = None) -> None:
    """Fit a discriminator to a generator at rest, then train both, and print the errors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="the score line only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=Path, help="PNG file to write")
    options = parser.parse_args(argv)

    at_rest, way = run(jax.random.key(options.seed), 100 if options.smoke else 3000)
    if not options.smoke:
        print(
            f"generator at rest: loss {at_rest.loss:.4f}, KL(q || p) {at_rest.divergence:.4f} nats"
        )
    if options.picture:
        draw_picture(at_rest, way, options.picture)
    print(
        f"Gaussian GAN on NumPyro: discriminator off by {at_rest.discriminator_error:.3f} at "
        f"most, loss off KL by {at_rest.loss_error:.1%}; fakes end at mean {way[-1, 0]:.3f}, "
        f"sd {way[-1, 1]:.3f} (data {DATA_LOC:.0f}, {DATA_SCALE:.0f})"
    )


if __name__ == "__main__":
    main()
