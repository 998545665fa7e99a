"""The settings of a fit, and the weights that it starts from; both hosts share them."""

from dataclasses import dataclass

import numpy as np

from models.cytometry.start import Start

__all__ = ["SD_FLOOR", "Settings", "make_weights"]

SD_FLOOR = 0.05  # of a marker's standard deviation: below it the density of one cell runs away


@dataclass(frozen=True)
class Settings:
    """How the model is built and trained.

    Attributes:
        dim: Dimension of the latent z.
        hidden: Width of the two hidden layers of each network.
        components: Clusters of each population, the ungated one apart.
        ungated_components: Clusters of what the gates have left over, which is many things.
        clusters: Number of clusters where there are no labels.
        epochs: Passes through the cells.
        batch: Cells of a step.
        rate: Learning rate of Adam, which falls to zero along half a cosine.
        label_weight: Of the mean log-probability of labels, beside the mean bound of a cell.
        warm_up: Share of the steps over which the divergences come in.
        temperature: None sums over the clusters; a number draws relaxed ones at it.
        folds: In which labels are held out to find out how sure the answers may be; 0 saves the
            time and leaves them as sure as the networks are.
        sampled: Whether the labelled cells are a random sample of all cells. Then how many labels
            each population has tells of the fractions, too, and their intervals rest on it.
    """

    dim: int = 6
    hidden: int = 64
    components: int = 2
    ungated_components: int = 12
    clusters: int = 14
    epochs: int = 10
    batch: int = 512
    rate: float = 1e-3
    label_weight: float = 20.0
    warm_up: float = 0.3
    temperature: float | None = None
    folds: int = 3
    sampled: bool = False


def make_weights(start: Start, hidden: int, seed: int) -> dict[str, np.ndarray]:
    """Make the weights of a model that is a mixture on principal components to begin with.

    The networks end in zeros beside linear maps: ``q(c | x)`` is the linear discriminant of the
    start, z the principal components, and ``p(z | c)`` the Gaussians of the clusters in them.

    Args:
        start: Where the clusters are.
        hidden: Width of the hidden layers.
        seed: Of the hidden layers.

    Returns:
        Arrays by name, in float32.
    """
    generator = np.random.default_rng(seed)
    width, dim = start.loadings.shape
    clusters = len(start.shares)
    weights = {
        "class_skip": start.slope,
        "class_bias": start.intercept,
        "z_skip": start.loadings,
        "z_log_sd": np.log(start.z_sd),
        "x_skip": start.loadings.T,
        "x_log_sd": np.log(start.x_sd),
        "prior_loc": start.loc,
        "prior_factor": start.factor,
        "prior_log_diagonal": np.log(np.diagonal(start.factor, axis1=1, axis2=2)),
        "prior_logits": np.log(start.shares),
        "z_class": generator.normal(0, 0.3, (clusters, hidden)),
    }
    for name, inputs, outputs in (
        ("class", width, clusters),
        ("z", width, 2 * dim),
        ("x", dim, width),
    ):
        weights[f"{name}_in"] = generator.normal(0, (2 / inputs) ** 0.5, (inputs, hidden))
        weights[f"{name}_in_bias"] = np.zeros(hidden)
        weights[f"{name}_mid"] = generator.normal(0, (2 / hidden) ** 0.5, (hidden, hidden))
        weights[f"{name}_mid_bias"] = np.zeros(hidden)
        weights[f"{name}_out"] = np.zeros((hidden, outputs))
    return {name: value.astype(np.float32) for name, value in weights.items()}
