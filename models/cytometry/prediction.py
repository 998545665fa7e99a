"""What is said of cells: their populations, how surprising they are, the fractions of all."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Evaluation", "HeldOut", "Prediction", "expect_joint"]

PRIOR_LABELS = 1.0  # as many labels as what the models expect counts for
FLAT = 1.0  # label beside them, of any population: what is never expected can still be so
STEPS = 200
TINY = 1e-6


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
        joint: ``[population said, population]``, of all cells, as these models have it; see
            `expect_joint`. None where they were not asked about the cells.
        sampled: Whether the labelled cells are a random sample of all cells, so that their
            populations' numbers tell something. Otherwise only what was said of each population
            does.
    """

    probs: np.ndarray
    truth: np.ndarray
    joint: np.ndarray | None = None
    sampled: bool = False

    def draw_fractions(
        self, joint: np.ndarray, generator: np.random.Generator, count: int
    ) -> np.ndarray:
        """Draw the fractions of the populations from the posterior of the errors.

        What is said of the cells is known; what they are is known of the labels. Of a random
        sample, the labels among the cells of which one thing is said show what such cells are,
        and the fractions are their average (post-stratification). Otherwise the labels of one
        population show what is said of it, and the fractions are those that explain best what is
        said of all. Either share has a Dirichlet prior around what the models expect.

        Args:
            joint: ``[population said, population]``, expected of all cells.
            generator: Of the draws.
            count: Number of draws.

        Returns:
            ``[draw, population]``.

        References:
            Angelopoulos, Bates, Fannjiang, Jordan, Zrnic (2023), Prediction-powered inference,
            Science 382, doi:10.1126/science.adi6000.
            Lipton, Wang, Smola (2018), Detecting and correcting for label shift with black box
            predictors, ICML, arXiv:1802.03916.
        """
        seen = np.zeros_like(joint)
        np.add.at(seen, (self.probs.argmax(1), self.truth), 1)
        said = joint.sum(1)
        over = 1 if self.sampled else 0
        prior = joint + TINY
        prior = PRIOR_LABELS * prior / prior.sum(over, keepdims=True) + FLAT / len(joint)
        gammas = generator.gamma(seen + prior, size=(count, *joint.shape)) + TINY
        shares = gammas / gammas.sum(1 + over, keepdims=True)
        if self.sampled:
            return np.einsum("j,djk->dk", said, shares)
        fractions = np.tile(joint.sum(0), (count, 1))
        for _ in range(STEPS):
            explained = np.einsum("djk,dk->dj", shares, fractions)
            fractions = fractions * np.einsum("djk,dj->dk", shares, said / explained)
        return fractions


def expect_joint(probs: np.ndarray) -> np.ndarray:
    """Return the expected share of cells by what is said of them and by what they are.

    Args:
        probs: ``[cell, population]``.

    Returns:
        ``[population said, population]``, which adds up to one.
    """
    said = np.eye(probs.shape[1])[probs.argmax(1)]
    return said.T @ probs / len(probs)


@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """Cells and their populations.

    Attributes:
        probs: ``[cell, population]``, of each population given the cell: ``q``, what the bounds
            say by Bayes' rule, and what the labels say over the graph of the cells, their
            geometric mean, at the temperature.
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

        With held-out labels, from what they say of the errors; see `HeldOut.draw_fractions`.
        Without, each draw assigns the cells by ``probs``: an error that all of ``probs`` share is
        not known, and the intervals are too narrow. The fractions are then drawn from the
        posterior of the counts under a Dirichlet prior of one half.

        Args:
            count: Number of draws.
            seed: Of the draws.
        """
        generator = np.random.default_rng(seed)
        cells, expected = len(self.probs), self.probs.sum(0)
        if self.held_out is not None:
            joint = self.held_out.joint
            joint = expect_joint(self.probs) if joint is None else joint
            counts = cells * self.held_out.draw_fractions(joint, generator, count)
        else:
            covariance = np.diag(expected) - self.probs.T @ self.probs
            counts = generator.multivariate_normal(
                expected, covariance, count, method="eigh", check_valid="ignore"
            )
        gammas = generator.gamma(np.maximum(counts, 0) + 0.5)
        return gammas / gammas.sum(1, keepdims=True)
