"""The digits autoencoder on NumPyro: ``python -m models.digits_vae.on_numpyro``."""

import argparse
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
import optax

import ppl_ext.numpyro as px
from models.digits_vae.data import (
    BATCH,
    CLASSES,
    HIDDEN,
    LATENTS,
    PIXELS,
    STEP_SIZE,
    TEST,
    TRAIN,
    score_pixels,
)

ESTIMATORS = (px.estimators.ReinMax(1.0), px.estimators.LeaveOneOut(4))


def layer(name, inputs, outputs):
    """A linear layer, its weights as parameters."""
    limit = inputs.shape[-1] ** -0.5

    def start(*shape):
        return lambda rng_key: jax.random.uniform(rng_key, shape, minval=-limit, maxval=limit)

    weight = numpyro.param(f"{name}_weight", start(inputs.shape[-1], outputs))
    return inputs @ weight + numpyro.param(f"{name}_bias", start(outputs))


def network(name, inputs, outputs):
    """A layer of hidden units, and one on top."""
    return layer(f"{name}_top", jax.nn.relu(layer(f"{name}_hidden", inputs, HIDDEN)), outputs)


def model(images, batch=None):
    """Latent variables with uniform classes, and pixels given all of them."""
    with numpyro.plate("image", len(images), subsample_size=batch) as rows:
        uniform = jnp.zeros((LATENTS, CLASSES))
        prior = px.distributions.OneHotCategoricalStraightThrough(logits=uniform)
        z = numpyro.sample("z", prior.to_event(1))
        pixels = network("decoder", z.reshape(*z.shape[:-2], LATENTS * CLASSES), PIXELS)
        likelihood = dist.Bernoulli(logits=pixels).to_event(1)
        numpyro.sample("pixels", likelihood, obs=images[rows])


def guide(images, batch=None):
    """The classes of the latent variables, each by itself, given the image."""
    with numpyro.plate("image", len(images), subsample_size=batch) as rows:
        logits = network("encoder", images[rows], LATENTS * CLASSES)
        logits = logits.reshape(*logits.shape[:-1], LATENTS, CLASSES)
        posterior = px.distributions.OneHotCategoricalStraightThrough(logits=logits)
        numpyro.sample("z", posterior.to_event(1))


def score(estimator, seed: int = 0, steps: int = 2000, draws: int = 100) -> float:
    """Train with an estimator and return nats a test image: the bound of hard draws."""
    train_key, test_key = jax.random.split(jax.random.key(seed))
    svi = numpyro.infer.SVI(model, guide, optax.adam(STEP_SIZE), px.DiscreteELBO(estimator))
    result = svi.run(train_key, steps, jnp.asarray(TRAIN), BATCH, progress_bar=False)
    elbo = px.DiscreteELBO(px.estimators.ScoreFunction(), num_particles=draws)
    loss = jax.jit(lambda key, params: elbo.loss(key, params, model, guide, jnp.asarray(TEST)))
    return float(loss(test_key, result.params)) / len(TEST)


def main(argv: Sequence[str] | None = None) -> None:
    """Train with each estimator and print nats a test image."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a short run and its score line only")
    smoke = parser.parse_args(argv).smoke
    for estimator in ESTIMATORS[:1] if smoke else ESTIMATORS:
        nats = score(estimator, steps=30, draws=2) if smoke else score(estimator)
        print(
            f"digits VAE on NumPyro, {estimator}: {nats:.2f} nats a test image, "
            f"independent pixels {score_pixels():.2f}"
        )


if __name__ == "__main__":
    main()
