"""How a model is fitted with either host: start, training, and the temperature of its answers."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from models.cytometry.data import UNKNOWN, CytometryData
from models.cytometry.prediction import Evaluation, HeldOut, expect_joint
from models.cytometry.result import CytometryFit
from models.cytometry.settings import Settings
from models.cytometry.task import Task, make_task

__all__ = ["find_temperature", "fit_with", "split_labels", "temper"]

Weights = dict[str, np.ndarray]
Train = Callable[[Task, Settings, int], tuple[Weights, np.ndarray]]
Evaluate = Callable[[Weights, np.ndarray], Evaluation]


def fit_with(
    train: Train, evaluate: Evaluate, data: CytometryData, settings: Settings, seed: int
) -> CytometryFit:
    """Fit by a host's functions.

    The networks are surer than they are right, and can be wrong for many cells at once. How much,
    labels tell that were held out: the model is trained again without each fold of them, for half
    of the epochs.

    Args:
        train: From a task to weights and the losses of the epochs.
        evaluate: Of the host.
        data: Cells.
        settings: Of the fit.
        seed: Of everything random.

    Returns:
        The fit.
    """
    task = make_task(data, settings, seed)
    weights, losses = train(task, settings, seed)
    fit = CytometryFit(data, settings, task, weights, losses, evaluate)
    folds = split_labels(data.labels, settings.folds, seed)
    if not folds:
        return fit
    half = replace(settings, epochs=max(1, settings.epochs // 2))
    probs = []
    for fold in folds:
        labels = data.labels.copy()
        labels[fold] = UNKNOWN
        part = data.with_labels(labels, data.populations)
        part_task = make_task(part, half, seed, task.graph)
        part_fit = CytometryFit(part, half, part_task, *train(part_task, half, seed), evaluate)
        probs.append(part_fit.predict().probs)
    told = [each[fold] for each, fold in zip(probs, folds, strict=True)]
    held_out = np.concatenate(told)
    truth = data.labels[np.concatenate(folds)]
    found = fit.predict().probs
    # Three labels a population are no sample of the cells: each counts for what it stands for.
    shares = found.mean(0)
    stands_for = shares[truth] / np.bincount(truth)[truth]
    temperature = find_temperature(held_out, truth, stands_for)
    if settings.sampled:
        # A random sample misses no cell: who has seen the only label of a population says it.
        rest = np.setdiff1d(np.flatnonzero(data.labels != UNKNOWN), np.concatenate(folds))
        held_out = np.concatenate([held_out, found[rest]])
        truth = np.concatenate([truth, data.labels[rest]])
    joint = np.mean([expect_joint(temper(each, temperature)) for each in probs], 0)
    kept = HeldOut(temper(held_out, temperature), truth, joint, settings.sampled)
    return replace(fit, temperature=temperature, held_out=kept)


def temper(probs: np.ndarray, temperature: float) -> np.ndarray:
    """Divide the logits of probabilities ``[cell, population]`` by the temperature."""
    return softmax(np.log(np.maximum(probs, 1e-30)) / temperature, axis=1)


def split_labels(labels: np.ndarray | None, folds: int, seed: int) -> list[np.ndarray]:
    """Split labelled cells into folds that each leave every population a label.

    The only label of a population is in none of them.

    Returns:
        Places of cells by fold; nothing where folds are not wanted or a fold would be empty.
    """
    if labels is None or folds < 2:
        return []
    generator = np.random.default_rng(seed)
    order = generator.permutation(np.flatnonzero(labels != UNKNOWN))
    order = order[np.bincount(labels[order])[labels[order]] > 1]
    order = order[np.argsort(labels[order], kind="stable")]
    if len(order) < folds:
        return []
    # In the order of the populations: those of one population go round the folds.
    return [order[first::folds] for first in range(folds)]


def find_temperature(probs: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> float:
    """Return by what logits are divided to make labels likeliest, between 0.5 and 10.

    Args:
        probs: ``[cell, population]``.
        truth: ``[cell]``.
        weights: ``[cell]``, for how many cells each stands.

    References:
        Guo, Pleiss, Sun, Weinberger (2017), On calibration of modern neural networks, ICML,
        arXiv:1706.04599.
    """
    logits = np.log(np.maximum(probs, 1e-30))

    def cross_entropy(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        normaliser = np.logaddexp.reduce(scaled, axis=1)
        losses = normaliser - scaled[np.arange(len(truth)), truth]
        return float(np.average(losses, weights=weights))

    bounds = np.log([0.5, 10.0])
    return float(np.exp(minimize_scalar(cross_entropy, bounds=bounds, method="bounded").x))
