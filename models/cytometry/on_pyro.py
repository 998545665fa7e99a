"""The cytometry model on Pyro: ``python -m models.cytometry.on_pyro``."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from torch.nn.functional import log_softmax, one_hot

from models.cytometry.data import CytometryData, simulate_cells
from models.cytometry.demo import describe, draw_pictures
from models.cytometry.fitting import fit_with
from models.cytometry.networks_on_pyro import (
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
    weights = {name: torch.as_tensor(value) for name, value in weights.items()}
    factors = prior_factors(weights)
    precision = factors @ factors.mT
    with pyro.plate("cell", cells):
        c = pyro.sample("c", dist.Categorical(logits=weights["prior_logits"]))
        prior = dist.MultivariateNormal(weights["prior_loc"][c], precision_matrix=precision[c])
        z = pyro.sample("z", prior)
        pyro.sample("x", dist.Normal(*decode(weights, z)).to_event(1), obs=x)


def guide(weights, cells, x):
    """The cluster given the cell, and the latent place given both."""
    weights = {name: torch.as_tensor(value) for name, value in weights.items()}
    with pyro.plate("cell", cells):
        c = pyro.sample("c", dist.Categorical(logits=classify(weights, x)))
        clusters = one_hot(c, len(weights["prior_loc"])).to(x.dtype)
        pyro.sample("z", dist.Normal(*encode(weights, x, clusters)).to_event(1))


def loss(weights, x, labelled, member, share, settings):
    """Minus the mean bound of a cell, and minus the weighted mean log-probability of a label."""
    value = -bound(weights, x, share, settings.temperature).mean()
    if len(labelled):
        log_q = log_softmax(classify(weights, labelled), -1)
        right = log_q.masked_fill(~member, -torch.inf).logsumexp(-1)
        value = value - settings.label_weight * right.mean()
    return value


def train(task, settings, seed):
    """Train the weights of a task: the weights and the losses of the epochs."""
    pyro.set_rng_seed(seed)
    generator = np.random.default_rng(seed)
    weights = {
        name: torch.tensor(value, requires_grad=True) for name, value in task.weights.items()
    }
    steps = task.steps * settings.epochs
    adam = torch.optim.Adam(weights.values(), lr=settings.rate)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    cells, member = torch.as_tensor(task.values), torch.as_tensor(task.member)
    labelled = cells[task.labelled]
    losses, step = [], 0
    for _ in range(settings.epochs):
        total = 0.0
        for rows, places in zip(*task.draw_batches(generator), strict=True):
            share = min(1.0, (step + 1) / (settings.warm_up * steps + 1))
            value = loss(weights, cells[rows], labelled[places], member[places], share, settings)
            adam.zero_grad()
            value.backward()
            torch.nn.utils.clip_grad_norm_(weights.values(), 10.0)
            adam.step()
            cosine.step()
            total, step = total + value.item(), step + 1
        losses.append(total / task.steps)
    return {name: value.detach().numpy() for name, value in weights.items()}, np.array(losses)


@torch.no_grad()
def evaluate(weights, x) -> Evaluation:
    """Evaluate cells, standardised."""
    weights = {name: torch.as_tensor(value) for name, value in weights.items()}
    x, clusters = torch.as_tensor(x), torch.eye(len(weights["prior_loc"]))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        bounds = sum(cluster_bounds(weights, x) for _ in range(DRAWS)) / DRAWS
    found = classify(weights, x), bounds, encode(weights, x[:, None], clusters)[0]
    return Evaluation(*(value.numpy() for value in found))


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
    print(f"cytometry on Pyro: {describe(fit, truth)}")


if __name__ == "__main__":
    main()
