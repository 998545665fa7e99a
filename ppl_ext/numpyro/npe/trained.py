"""A trained network, in a file and out of it."""

import functools
import os
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import numpyro

from ppl_ext.npe.answers.amortized import Amortized
from ppl_ext.npe.answers.strangers import Familiar
from ppl_ext.npe.features import Features
from ppl_ext.npe.filing import SavedNPE
from ppl_ext.npe.frame import Frame
from ppl_ext.npe.learning import LearningLog
from ppl_ext.numpyro.npe.network import Network, flatten_weights
from ppl_ext.numpyro.npe.task import Task

__all__ = ["Trained", "load_trained", "save_trained"]


@dataclass(frozen=True, eq=False)
class Trained:
    """A network with its weights and what stands between it and the model.

    Args:
        network: The network.
        weights: Of all members as they were learned, ``[member, ...]``.
        features: How observations are read.
        frame: Where the network started.
        log: How the training went.
        simulated: Data of some simulations, ``[simulation, width]``.
    """

    network: Network
    weights: Any
    features: Features
    frame: Frame
    log: LearningLog
    simulated: np.ndarray

    @functools.cached_property
    def answering(self) -> Any:
        """The weights with the noise of the flows, ``[member, ...]``."""
        if self.log.noise is None:
            return self.weights
        noise = np.array([self.log.noise.scale, self.log.noise.df], np.float32)
        return {**self.weights, "noise": np.tile(noise, (len(self.log.best), 1))}

    @functools.cached_property
    def amortized(self) -> Amortized:
        """Its posterior of any observation."""
        return Amortized(
            self.features,
            self.frame,
            functools.partial(self.network.sample, self.answering),
            functools.partial(self.network.log_q, self.answering),
        )

    @functools.cached_property
    def familiar(self) -> Familiar:
        """What was simulated, beside which observations are looked at."""
        return Familiar(self.simulated, self.features.sites)


def save_trained(trained: Trained, path: str | os.PathLike[str], task: Task) -> None:
    """Write a trained network to a file.

    Args:
        trained: The network.
        path: Where to.
        task: What was learned.
    """
    SavedNPE(
        task.shapes,
        trained.network.names,
        {name: np.asarray(leaf) for name, leaf in flatten_weights(trained.weights).items()},
        trained.features,
        trained.frame,
        trained.log,
        trained.simulated,
        task.coordinates.marks,
    ).write(path, host="numpyro", host_version=numpyro.__version__)


def load_trained(path: str | os.PathLike[str], task: Task) -> Trained:
    """Read a trained network from a file.

    Args:
        path: The file.
        task: What it has learned.

    Raises:
        ValueError: The file is damaged, or of another model or network.
    """
    saved = SavedNPE.read(path, host="numpyro")
    network = task.make_network(saved.features.layout)
    members = len(saved.log.best)
    shapes = jax.eval_shape(jax.vmap(network.init), jax.random.split(jax.random.key(0), members))
    named = flatten_weights(shapes)
    found = {name: leaf.shape for name, leaf in named.items()}
    saved.check(path, task.shapes, task.observed, network.names, found)
    saved.check_model(path, task.coordinates.marks, task.missing)
    leaves = [saved.weights[name] for name in named]
    weights = jax.tree.unflatten(jax.tree.structure(shapes), leaves)
    return Trained(network, weights, saved.features, saved.frame, saved.log, saved.simulated)
