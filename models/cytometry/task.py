"""What both hosts train on: standardised cells, labels, and weights to start from."""

from dataclasses import dataclass

import numpy as np

from models.cytometry.data import UNGATED, UNKNOWN, CytometryData
from models.cytometry.settings import Settings, make_weights
from models.cytometry.spreading import Graph, make_graph, spread_labels
from models.cytometry.start import find_start, split_clusters

__all__ = ["Scale", "Task", "make_task"]

LABELS_AT_A_TIME = 256


@dataclass(frozen=True, eq=False)
class Scale:
    """Centre and spread of the markers, by which cells are standardised."""

    centre: np.ndarray
    spread: np.ndarray

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Standardise cells ``[cell, marker]``."""
        return ((values - self.centre) / self.spread).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Task:
    """What a host trains.

    Attributes:
        values: ``[cell, marker]``, standardised.
        scale: How.
        labelled: ``[label]``, places of the cells whose population is known.
        member: ``[label, cluster]``, whether the cluster belongs to the cell's population.
        owner: ``[cluster]``, the population of each cluster.
        graph: Along which the labels were spread; None where there are none.
        spread: ``[node, population]``, what the labels say of the graph's nodes.
        populations: Names of the populations; of the clusters where nothing is known.
        weights: To start from.
        batch: Cells of a step.
        steps: Steps of an epoch.
    """

    values: np.ndarray
    scale: Scale
    labelled: np.ndarray
    member: np.ndarray
    owner: np.ndarray
    graph: Graph | None
    spread: np.ndarray | None
    populations: tuple[str, ...]
    weights: dict[str, np.ndarray]
    batch: int
    steps: int

    def draw_batches(self, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw an epoch: cells ``[step, batch]`` and places among the labels ``[step, label]``.

        Every cell is seen once, those that fill no batch in another epoch.
        """
        order = generator.permutation(len(self.values))
        cells = order[: self.steps * self.batch].reshape(self.steps, self.batch)
        count = len(self.labelled)
        if count <= LABELS_AT_A_TIME:
            return cells, np.tile(np.arange(count), (self.steps, 1))
        return cells, generator.integers(count, size=(self.steps, LABELS_AT_A_TIME))


def make_task(
    data: CytometryData, settings: Settings, seed: int, graph: Graph | None = None
) -> Task:
    """Standardise cells and find clusters to start from, by labels or by k-means.

    Args:
        data: Cells.
        settings: Of the fit.
        seed: Of k-means and the hidden layers.
        graph: Of another task on the same cells, with these labels or more; None makes one.

    Returns:
        The task.

    Raises:
        ValueError: A constant marker, fewer cells than the latent space needs, a population
            without a label.
    """
    values = np.asarray(data.values, float)
    spread = values.std(0)
    if not (spread > 0).all():
        flat = [name for name, sd in zip(data.markers, spread, strict=True) if not sd > 0]
        raise ValueError(
            f"make_task: {', '.join(flat)} is the same in all cells and tells nothing; leave it "
            "out of the markers."
        )
    if settings.dim > len(data.markers) or len(values) < 10 * len(data.markers):
        raise ValueError(
            f"make_task: dim={settings.dim} with {len(values)} cells of {len(data.markers)} "
            "markers; dim has to be at most the number of markers, and ten cells a marker are "
            "the least. Give Settings(dim=...)."
        )
    scale = Scale(values.mean(0), spread)
    x = scale.apply(values)
    labels = np.full(len(x), UNKNOWN) if data.labels is None else data.labels
    labelled = np.flatnonzero(labels != UNKNOWN)
    if len(labelled):
        populations = data.populations
        missing = np.setdiff1d(np.arange(len(populations)), labels[labelled])
        if len(missing):
            raise ValueError(
                f"make_task: no cell is labelled {', '.join(populations[k] for k in missing)}; "
                "label one or leave the population out."
            )
        graph = make_graph(x, labels, seed) if graph is None else graph
        spread_over = spread_labels(graph, labels, len(populations))
        groups = spread_over.argmax(1)[graph.nearest]
        counts = np.array(
            [
                settings.ungated_components if name == UNGATED else settings.components
                for name in populations
            ]
        )
        clusters, owner = split_clusters(x, groups, counts, seed)
    else:
        groups, counts = np.zeros(len(x), int), np.array([settings.clusters])
        clusters, owner = split_clusters(x, groups, counts, seed)
        owner, spread_over = np.arange(len(owner)), None
        populations = tuple(f"cluster {place}" for place in owner)
    start = find_start(x, clusters, len(owner), settings.dim)
    batch = min(settings.batch, len(x))
    return Task(
        values=x,
        scale=scale,
        labelled=labelled,
        member=labels[labelled][:, None] == owner,
        owner=owner,
        graph=graph,
        spread=spread_over,
        populations=populations,
        weights=make_weights(start, settings.hidden, seed),
        batch=batch,
        steps=len(x) // batch,
    )
