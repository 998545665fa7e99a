"""A trained network, in a file and out of it."""

import copy
import functools
import os
from dataclasses import dataclass, replace

import numpy as np
import pyro
import torch

from ppl_ext.npe.answers.amortized import Amortized
from ppl_ext.npe.answers.strangers import Familiar
from ppl_ext.npe.features import Features
from ppl_ext.npe.filing import SavedNPE
from ppl_ext.npe.frame import Frame
from ppl_ext.npe.learning import LearningLog
from ppl_ext.pyro.npe.network import Network
from ppl_ext.pyro.npe.task import Task

__all__ = ["Trained", "load_trained", "save_trained"]


@dataclass(frozen=True, eq=False)
class Trained:
    """A network with its weights and what stands between it and the model.

    Args:
        network: The network.
        features: How observations are read.
        frame: Where the network started.
        log: How the training went.
        simulated: Data of some simulations, ``[simulation, width]``.
    """

    network: Network
    features: Features
    frame: Frame
    log: LearningLog
    simulated: np.ndarray

    def clone(self) -> "Trained":
        """The same with weights of its own, which a refinement may change."""
        return replace(self, network=copy.deepcopy(self.network))

    @functools.cached_property
    def amortized(self) -> Amortized:
        """Its posterior of any observation."""
        return Amortized(self.features, self.frame, self.network.sample, self.network.log_q)

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
        {name: value.cpu().numpy() for name, value in trained.network.state_dict().items()},
        trained.features,
        trained.frame,
        trained.log,
        trained.simulated,
        task.coordinates.marks,
    ).write(path, host="pyro", host_version=pyro.__version__)


def load_trained(path: str | os.PathLike[str], task: Task) -> Trained:
    """Read a trained network from a file.

    Args:
        path: The file.
        task: What it has learned.

    Raises:
        ValueError: The file is damaged, or of another model or network.
    """
    saved = SavedNPE.read(path, host="pyro")
    network = task.make_network(saved.features.layout, len(saved.log.best), 0)
    state = network.state_dict()
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    saved.check(path, task.shapes, task.observed, network.names, shapes)
    saved.check_model(path, task.coordinates.marks, task.missing)
    network.load_state_dict(
        {name: torch.as_tensor(saved.weights[name]).to(value) for name, value in state.items()}
    )
    network.set_noise(saved.log.noise)
    return Trained(network, saved.features, saved.frame, saved.log, saved.simulated)
