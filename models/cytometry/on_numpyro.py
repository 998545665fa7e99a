"""The cytometry model on NumPyro: ``python -m models.cytometry.on_numpyro``."""

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

from models.cytometry.data import CytometryData, simulate_cells
from models.cytometry.demo import describe, draw_pictures
from models.cytometry.fitting import fit_with
from models.cytometry.networks_on_numpyro import (
    bound,
    classify,
    cluster_bounds,
    decode,
    encode,
    prior_factors,
)
from models.cytometry.prediction import Evaluation
from models.cytometry.result import CytometryFit
from models.cytometry.settings import Settings

DEFAULTS = Settings()
DRAWS = 4  # of z, in the bounds that tell how surprising a cell is


def model(weights, cells, x=None):
    """A cluster for each cell, a place in the latent space given it, and markers given that."""
    weights = jax.tree.map(jnp.asarray, weights)
    factors = prior_factors(weights)
    precision = factors @ factors.swapaxes(-1, -2)
    with numpyro.plate("cell", cells):
        c = numpyro.sample("c", dist.Categorical(logits=weights["prior_logits"]))
        prior = dist.MultivariateNormal(weights["prior_loc"][c], precision_matrix=precision[c])
        z = numpyro.sample("z", prior)
        numpyro.sample("x", dist.Normal(*decode(weights, z)).to_event(1), obs=x)


def guide(weights, cells, x):
    """The cluster given the cell, and the latent place given both."""
    weights = jax.tree.map(jnp.asarray, weights)
    with numpyro.plate("cell", cells):
        c = numpyro.sample("c", dist.Categorical(logits=classify(weights, x)))
        one_hot = jax.nn.one_hot(c, len(weights["prior_loc"]))
        numpyro.sample("z", dist.Normal(*encode(weights, x, one_hot)).to_event(1))


def loss(rng_key, weights, x, labelled, member, share, settings):
    """Minus the mean bound of a cell, and minus the weighted mean log-probability of a label."""
    value = -bound(rng_key, weights, x, share, settings.temperature).mean()
    if len(labelled):
        log_q = jax.nn.log_softmax(classify(weights, labelled))
        right = jax.nn.logsumexp(jnp.where(member, log_q, -jnp.inf), -1)
        value = value - settings.label_weight * right.mean()
    return value


def _make_adam(settings, steps):
    rate = optax.cosine_decay_schedule(settings.rate, steps)
    return optax.chain(optax.clip_by_global_norm(10.0), optax.adam(rate))


@partial(jax.jit, static_argnames=("settings", "steps"))
def _run_epoch(rng_key, state, cells, labels, batches, first, settings, steps):
    adam = _make_adam(settings, steps)
    labelled, member = labels

    def advance(state, given):
        (weights, moments), (step, rng_key, rows, places) = state, given
        share = jnp.minimum(1.0, (step + 1) / (settings.warm_up * steps + 1))
        value, slope = jax.value_and_grad(loss, argnums=1)(
            rng_key, weights, cells[rows], labelled[places], member[places], share, settings
        )
        update, moments = adam.update(slope, moments)
        return (optax.apply_updates(weights, update), moments), value

    count = len(batches[0])
    given = first + jnp.arange(count), jax.random.split(rng_key, count), *batches
    return jax.lax.scan(advance, state, given)


def train(task, settings, seed):
    """Train the weights of a task: the weights and the losses of the epochs."""
    steps = task.steps * settings.epochs
    rng_key, generator = jax.random.key(seed), np.random.default_rng(seed)
    weights = jax.tree.map(jnp.asarray, task.weights)
    state = weights, _make_adam(settings, steps).init(weights)
    cells = jnp.asarray(task.values)
    labels = cells[task.labelled], jnp.asarray(task.member)
    losses = []
    for epoch in range(settings.epochs):
        key, first = jax.random.fold_in(rng_key, epoch), epoch * task.steps
        batches = task.draw_batches(generator)
        state, values = _run_epoch(key, state, cells, labels, batches, first, settings, steps)
        losses.append(float(values.mean()))
    return jax.tree.map(np.asarray, state[0]), np.array(losses)


@jax.jit
def _evaluate(weights, x):
    clusters = jnp.eye(len(weights["prior_loc"]))
    keys = jax.random.split(jax.random.key(0), DRAWS)
    bounds = jax.vmap(lambda key: cluster_bounds(key, weights, x))(keys).mean(0)
    return classify(weights, x), bounds, encode(weights, x[:, None], clusters)[0]


def evaluate(weights, x) -> Evaluation:
    """Evaluate cells, standardised."""
    return Evaluation(*map(np.asarray, _evaluate(weights, x)))


def fit_cells(
    data: CytometryData, settings: Settings = DEFAULTS, *, seed: int = 0
) -> CytometryFit:
    """Fit the model to cells, with the labels that they have or with none."""
    return fit_with(train, evaluate, data, settings, seed)


def main(argv: Sequence[str] | None = None) -> None:
    """Fit simulated cells of which few have labels, and print how many are told right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a short run and its score line")
    parser.add_argument("--pictures", type=Path, help="folder for PNG files")
    options = parser.parse_args(argv)
    data, truth = simulate_cells(1000 if options.smoke else 10_000, share_labelled=0.02)
    small = Settings(dim=3, hidden=16, batch=250, epochs=2, folds=0)
    fit = fit_cells(data, small if options.smoke else Settings(dim=4))
    if not options.smoke:
        print(fit.report())
    if options.pictures:
        draw_pictures(fit, options.pictures)
    print(f"cytometry on NumPyro: {describe(fit, truth)}")


if __name__ == "__main__":
    main()
