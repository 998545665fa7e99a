"""Labels carried from the few cells that have one to all others, along the cells between them."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array, diags_array
from scipy.spatial import cKDTree
from scipy.special import softmax

from models.cytometry.data import UNKNOWN
from models.cytometry.start import find_discriminant

__all__ = ["Graph", "make_graph", "spread_labels"]

NEIGHBOURS = 15
WIDTH_AT = 7  # the neighbour whose distance is the width of a cell's kernel
RESTART = 0.1  # of the walk, at each step
PULL = 0.1  # of what walk and discriminant say, beside the neighbours of a cell
STEPS = 100
NODES = 20_000  # the graph has no more: the other cells follow their nearest one in it


@dataclass(frozen=True, eq=False)
class Graph:
    """Cells and their neighbours.

    Attributes:
        values: ``[node, marker]``.
        cells: ``[node]``, places of the nodes among all cells.
        nearest: ``[cell]``, the node that is nearest to each cell: itself, if it is one.
        weights: ``[node, node]``, symmetric.
    """

    values: np.ndarray
    cells: np.ndarray
    nearest: np.ndarray
    weights: csr_array

    def find_nodes(self, values: np.ndarray) -> np.ndarray:
        """Find the node that is nearest to each of some cells, ``[cell]``."""
        return cKDTree(self.values).query(values)[1]


def make_graph(values: np.ndarray, labels: np.ndarray, seed: int) -> Graph:
    """Connect cells with their neighbours, one with another where either says so.

    Args:
        values: ``[cell, marker]``, standardised.
        labels: ``[cell]``; those that are known are nodes.
        seed: Of the other nodes, where there are too many cells.

    References:
        Zelnik-Manor, Perona (2004), Self-tuning spectral clustering, NIPS 17.
    """
    cells = np.arange(len(values))
    if len(cells) > NODES:
        known = np.flatnonzero(labels != UNKNOWN)
        others = np.setdiff1d(cells, known)
        more = max(NODES - len(known), 0)
        others = np.random.default_rng(seed).choice(others, more, replace=False)
        cells = np.sort(np.concatenate([known, others]))
    x = values[cells]
    tree = cKDTree(x)
    count = min(NEIGHBOURS, len(x) - 1)
    distances, places = tree.query(x, count + 1)
    distances, places = distances[:, 1:], places[:, 1:]
    width = np.maximum(distances[:, min(WIDTH_AT, count) - 1], 1e-6)
    weights = np.exp(-(distances**2) / (width[:, None] * width[places]))
    rows = np.repeat(np.arange(len(x)), count)
    one_way = csr_array((weights.ravel(), (rows, places.ravel())), (len(x), len(x)))
    nearest = cells if len(cells) == len(values) else tree.query(values)[1]
    return Graph(x, cells, nearest, one_way.maximum(one_way.T).tocsr())


def spread_labels(graph: Graph, labels: np.ndarray, count: int) -> np.ndarray:
    """Find probabilities of populations from few labels, by a graph of neighbours.

    Two things are known of a cell: how often walks from the labels of each population come by,
    which follow populations of any shape, and the discriminant of the labels, which knows what is
    far from all of them. Both hold each population for as likely as another, so that one of few
    labels is not taken for the neighbours that have many. The average of the two is then smoothed
    over the graph, with the labels held.

    Args:
        graph: Of the cells.
        labels: ``[cell]``, `UNKNOWN` where nobody has told; each population has one.
        count: Number of populations.

    Returns:
        ``[node, population]``.

    References:
        Zhou, Bousquet, Lal, Weston, Schölkopf (2003), Learning with local and global consistency,
        NIPS 16.
        Zhu, Ghahramani, Lafferty (2003), Semi-supervised learning using Gaussian fields and
        harmonic functions, ICML.
    """
    x, y = graph.values, labels[graph.cells]
    known = np.flatnonzero(y != UNKNOWN)
    given = np.zeros((len(x), count))
    given[known, y[known]] = 1
    degrees = graph.weights.sum(1)

    root = diags_array(1 / np.sqrt(degrees))
    step = root @ graph.weights @ root
    source = given / given.sum(0)
    walked = source
    for _ in range(STEPS):
        walked = (1 - RESTART) * (step @ walked) + RESTART * source
    walked = walked / np.maximum(walked.sum(1, keepdims=True), np.finfo(float).tiny)

    slope, intercept = find_discriminant(x[known], y[known], count, balanced=True)
    shares = given.sum(0) / len(known)
    # A cell that no walk comes by is told by the discriminant alone.
    expected = softmax(x @ slope + intercept - np.log(shares), axis=1) + walked
    expected /= expected.sum(1, keepdims=True)

    mean = diags_array(1 / ((1 + PULL) * degrees)) @ graph.weights
    probs = expected
    for _ in range(STEPS):
        probs = mean @ probs + PULL / (1 + PULL) * expected
        probs[known] = given[known]
    return probs
