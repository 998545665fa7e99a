"""What is said of cells: their populations, how surprising they are, the fractions of all."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Evaluation", "HeldOut", "Prediction"]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a host says of cells.

    Attributes:
        logits: ``[cell, cluster]`` of ``q(c | x)``.
        bounds: ``[cell, cluster]``, of ``log p(x | c)``.
        z: ``[cell, cluster, dim]``, means of ``q(z | x, c)``.
    """

    logits: np.ndarray
    bounds: np.ndarray
    z: np.ndarray


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Labelled cells, as models said that had not seen their labels.

    Attributes:
        probs: ``[label, population]``.
        truth: ``[label]``.
    """

    probs: np.ndarray
    truth: np.ndarray

    def draw_means(self, generator: np.random.Generator, count: int) -> np.ndarray:
        """Draw the mean probabilities of the cells of each population, by a Bayesian bootstrap.

        Returns:
            ``[draw, population, population]``, that of the cell first.

        References:
            Rubin (1981), The Bayesian bootstrap, Annals of Statistics 9,
            doi:10.1214/aos/1176345338.
        """
        weights = generator.exponential(size=(count, len(self.truth)))
        members = np.eye(self.probs.shape[1])[self.truth]
        totals = np.einsum("dl,lj,lk->djk", weights, members, self.probs)
        # Of a population without a held-out label nothing is known: as if it were always found.
        absent = ~members.any(0)
        totals[:, absent] = np.eye(len(absent))[absent]
        return totals / (weights @ members + absent)[..., None]


@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """Cells and their populations.

    Attributes:
        probs: ``[cell, population]``, of each population given the cell, ``q``.
        populations: Names.
        clusters: ``[cell]``, the likeliest cluster.
        z: ``[cell, dim]``, where the cell lies in the latent space.
        surprise: ``[cell]``, minus the bound of the log density under those clusters of gated
            populations that labelled cells lie in, in nats: large for a cell of a type that nobody
            has labelled. Under all clusters where there are no labels.
        held_out: What held-out labels say of ``probs``; None where there were none.
    """

    probs: np.ndarray
    populations: tuple[str, ...]
    clusters: np.ndarray
    z: np.ndarray
    surprise: np.ndarray
    held_out: HeldOut | None = None

    @property
    def labels(self) -> np.ndarray:
        """The likeliest population of each cell, ``[cell]``."""
        return self.probs.argmax(1)

    def draw_fractions(self, count: int = 2000, *, seed: int = 0) -> np.ndarray:
        """Draw the populations' fractions in what was sampled, ``[draw, population]``.

        Each draw assigns the cells by ``probs``, moves the fractions by the errors that ``probs``
        makes on a bootstrap of the held-out labels, and then draws them from the posterior of the
        counts under a Dirichlet prior of one half. Without held-out labels an error that all of
        ``probs`` share is not known, and the intervals are too narrow.

        Args:
            count: Number of draws.
            seed: Of the draws.
        """
        generator = np.random.default_rng(seed)
        cells, expected = len(self.probs), self.probs.sum(0)
        covariance = np.diag(expected) - self.probs.T @ self.probs
        counts = generator.multivariate_normal(
            expected, covariance, count, method="eigh", check_valid="ignore"
        )
        if self.held_out is not None:
            # What is expected less what cells in these fractions would have been given.
            shares = expected / cells
            means = self.held_out.draw_means(generator, count)
            counts += cells * (shares - np.einsum("j,djk->dk", shares, means))
        gammas = generator.gamma(np.maximum(counts, 0) + 0.5)
        return gammas / gammas.sum(1, keepdims=True)
