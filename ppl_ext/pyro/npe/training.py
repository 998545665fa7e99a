"""The training of a task's network, at once or in rounds."""

import functools
import os
from collections.abc import Callable, Mapping

import numpy as np

from ppl_ext.npe.checkpoint import Checkpoint, open_checkpoint
from ppl_ext.npe.learning import learn
from ppl_ext.npe.pairs import Pairs
from ppl_ext.npe.preparation import Prepared, prepare
from ppl_ext.npe.rounds import learn_in_rounds
from ppl_ext.npe.settings import Training
from ppl_ext.pyro.npe.learner import NetworkLearner
from ppl_ext.pyro.npe.task import Task
from ppl_ext.pyro.npe.trained import Trained
from ppl_ext.simulation import Simulations
from ppl_ext.whole_files import find_target

__all__ = ["train_network", "train_rounds"]


def train_network(
    task: Task,
    seed: int,
    num_simulations: int,
    simulations: Simulations | None,
    fresh: bool,
    settings: Training,
    checkpoint: str | os.PathLike[str] | None,
    progress_bar: bool,
) -> Trained:
    """Train on pairs that there are, or on new ones.

    Args:
        task: What is to be learned.
        seed: Seed.
        num_simulations: Pairs to draw.
        simulations: Pairs that there are; None to draw them.
        fresh: Whether to draw as many again for each epoch.
        settings: How to train.
        checkpoint: File that the training is written to and goes on from.
        progress_bar: Whether to draw bars.
    """
    if checkpoint is not None:
        find_target("NPE.train: checkpoint", checkpoint)  # before any simulation is paid for
    first, second, third = np.random.SeedSequence(seed).generate_state(3).tolist()
    source = task.make_source(first)
    if simulations is None:
        simulations = source.simulate(np.arange(num_simulations), progress_bar=progress_bar)
    rng = np.random.default_rng(second)
    prepared = _prepare(task, simulations, settings, rng)
    renew = functools.partial(prepared.renew, source, num_simulations) if fresh else None
    kept = functools.partial(
        open_checkpoint,
        checkpoint,
        host="pyro",
        latent=task.shapes,
        prepared=prepared,
        settings=settings,
        seed=seed,
        fresh=num_simulations * fresh,
    )
    return _learn(task, third, prepared, settings, rng, progress_bar, renew, kept)


def train_rounds(
    task: Task,
    seed: int,
    observed: Mapping[str, np.ndarray],
    num_simulations: int,
    num_rounds: int,
    settings: Training,
    progress_bar: bool,
) -> Trained:
    """Train in rounds for one observation.

    Args:
        task: What is to be learned.
        seed: Seed.
        observed: The observation, ``{site: array[1, ...]}``.
        num_simulations: Pairs to draw in all rounds.
        num_rounds: Number of rounds.
        settings: How to train.
        progress_bar: Whether to draw bars.
    """
    first, second, third = np.random.SeedSequence(seed).generate_state(3).tolist()

    def learn_round(number: int, known: Simulations) -> Trained:
        rng = np.random.default_rng([second, number])
        prepared = _prepare(task, known, settings, rng)
        return _learn(task, third, prepared, settings, rng, progress_bar)

    return learn_in_rounds(
        task.make_source(first),
        task.coordinates.pull,
        observed,
        learn_round,
        num_simulations,
        num_rounds,
        seed=second,
        progress_bar=progress_bar,
    )


def _prepare(
    task: Task, simulations: Simulations, settings: Training, rng: np.random.Generator
) -> Prepared:
    return prepare(
        simulations,
        task.coordinates.pull,
        task.observed,
        settings,
        rng,
        missing=task.missing,
        bounded=task.coordinates.bounded,
    )


def _learn(
    task: Task,
    seed: int,
    prepared: Prepared,
    settings: Training,
    rng: np.random.Generator,
    progress_bar: bool,
    renew: Callable[[int], Pairs] | None = None,
    open_kept: Callable[..., Checkpoint | None] | None = None,
) -> Trained:
    network = task.make_network(prepared.features.layout, settings.num_members, seed)
    learner = NetworkLearner(network, settings)
    kept = open_kept and open_kept(network=network.names, arrays=learner.state())
    log = learn(
        learner,
        prepared.pairs,
        settings,
        rng,
        renew=renew,
        checkpoint=kept,
        progress_bar=progress_bar,
    )
    network.set_noise(log.noise)
    return Trained(network, prepared.features, prepared.frame, log, prepared.simulated)
