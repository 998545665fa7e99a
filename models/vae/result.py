"""A fitted auto-encoder, and how good it is."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import expit, gammaln, logit, logsumexp

from models.vae.data import Images
from models.vae.settings import Settings
from ppl_ext.training.log import MinibatchLog

__all__ = ["VAEFit", "divergence", "log_likelihood", "score_pixels", "tell_apart"]

Encode = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
Decode = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class VAEFit:
    """A fitted auto-encoder.

    Attributes:
        images: What it was trained on.
        settings: How.
        encode: Mean and standard deviation of z given counts ``[image, pixel]``, of the host.
        decode: Logits of pixels ``[row, pixel]`` given ``z[row, dim]``, of the host.
        log: How the training went.
    """

    images: Images
    settings: Settings
    encode: Encode
    decode: Decode
    log: MinibatchLog

    def bound(self, counts: np.ndarray | None = None, *, draws: int = 10) -> float:
        """Estimate the ELBO, nats an image, the divergence in closed form.

        Args:
            counts: ``[image, pixel]``; None takes the images of the test.
            draws: Of z for each image.
        """
        return float(self.estimate(counts, draws=draws)[0].mean())

    def estimate(
        self, counts: np.ndarray | None = None, *, draws: int = 10
    ) -> tuple[np.ndarray, np.ndarray]:
        """Estimate the ELBO of each image from single draws of z, in either form.

        Both have the same mean; that of draws alone is noisier where q is far from the prior, and
        free of noise where q is the posterior.

        Args:
            counts: ``[image, pixel]``; None takes the images of the test.
            draws: Of z for each image.

        Returns:
            With the divergence in closed form and by the draw, ``[draw, image]`` each, in nats.
        """
        counts = self.images.held_out if counts is None else counts
        loc, sd = self.encode(counts)
        generator = np.random.default_rng(0)
        likelihoods, divergences = [], []
        for _ in range(draws):
            noise = generator.normal(size=loc.shape)
            z = loc + sd * noise
            likelihoods.append(log_likelihood(counts, self.decode(z), self.images.levels))
            divergences.append((0.5 * (z**2 - noise**2) - np.log(sd)).sum(-1))
        likelihood = np.array(likelihoods)
        return likelihood - divergence(loc, sd), likelihood - np.array(divergences)

    def evidence(self, counts: np.ndarray | None = None, *, draws: int = 200) -> float:
        """Estimate the log-likelihood, nats an image, by importance-weighted draws from q.

        A lower bound of it in expectation, which closes with the number of draws.

        Args:
            counts: ``[image, pixel]``; None takes the images of the test.
            draws: Of z for each image.

        References:
            Burda, Grosse, Salakhutdinov (2016), Importance weighted autoencoders, ICLR,
            arXiv:1509.00519.
        """
        counts = self.images.held_out if counts is None else counts
        loc, sd = self.encode(counts)
        generator = np.random.default_rng(0)
        weights = []
        for _ in range(draws):
            noise = generator.normal(size=loc.shape)
            z = loc + sd * noise
            prior = 0.5 * (noise**2 - z**2).sum(-1) + np.log(sd).sum(-1)
            weights.append(log_likelihood(counts, self.decode(z), self.images.levels) + prior)
        return float((logsumexp(weights, axis=0) - np.log(draws)).mean())

    def reconstruct(self, counts: np.ndarray) -> np.ndarray:
        """Probabilities of pixels at the mean of z: ``[image, pixel]``."""
        return expit(self.decode(self.encode(counts)[0]))

    def generate(self, count: int, *, seed: int = 0) -> np.ndarray:
        """Probabilities of pixels given draws of z from the prior: ``[image, pixel]``."""
        z = np.random.default_rng(seed).normal(size=(count, self.settings.dim))
        return expit(self.decode(z))

    def strangeness(self, *, seed: int = 0) -> float:
        """How well generated images are told from those of the test; see `tell_apart`."""
        counts = self.images.held_out[:1000]
        generator = np.random.default_rng(seed)
        probs = self.generate(len(counts), seed=seed)
        return tell_apart(counts, generator.binomial(self.images.levels, probs))


def log_likelihood(counts: np.ndarray, logits: np.ndarray, levels: int) -> np.ndarray:
    """Log-probability of images, their binomial coefficients included: ``[image]``.

    Args:
        counts: ``[image, pixel]``, out of `levels`.
        logits: Likewise, of each trial.
        levels: Trials of a pixel.
    """
    value = (counts * logits - levels * np.logaddexp(0, logits)).sum(-1)
    if levels == 1:
        return value
    ways = gammaln(levels + 1) - gammaln(counts + 1) - gammaln(levels - counts + 1)
    return value + ways.sum(-1)


def score_pixels(images: Images) -> float:
    """Nats a test image under independent pixels with the averages of the training images."""
    return float(log_likelihood(images.held_out, logit(images.ink()), images.levels).mean())


def divergence(loc: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """``KL(N(loc, sd^2) || N(0, I))``, nats, of Gaussians ``[image, dim]``: ``[image]``."""
    return 0.5 * (loc**2 + sd**2 - 1 - 2 * np.log(sd)).sum(-1)


def tell_apart(first: np.ndarray, second: np.ndarray) -> float:
    """How often the nearest neighbour of a point belongs to the same sample.

    About 0.5 where both samples follow one distribution, 1 where they lie apart.

    Args:
        first: ``[point, dim]``.
        second: As many points.

    References:
        Schilling (1986), Multivariate two-sample tests based on nearest neighbors, JASA 81.
    """
    points = np.concatenate([first, second])
    distances = cdist(points, points)
    np.fill_diagonal(distances, np.inf)
    member = np.repeat([0, 1], len(first))
    return float((member[distances.argmin(1)] == member).mean())
