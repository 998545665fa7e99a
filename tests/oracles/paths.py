"""Gradients that pass through one-hot draws: the matrices of the papers, one for each draw.

An estimator that takes the draw ``d`` sends the slope of the function through a matrix ``M[d]``
(symmetric) to the logits. With all of them, bias and variance are sums over the joint values.
"""

from collections.abc import Callable
from itertools import product

import numpy as np
from scipy import integrate
from scipy.special import expit, log_softmax, softmax


def jacobian(p: np.ndarray) -> np.ndarray:
    """Derivative of the softmax at probabilities ``(..., class)``."""
    return p[..., None] * np.eye(p.shape[-1]) - p[..., None] * p[..., None, :]


def straight_through(logits: np.ndarray) -> np.ndarray:
    """Bengio et al. (2013): that of the probabilities, whatever the draw."""
    return np.broadcast_to(jacobian(softmax(logits)), (logits.size,) * 3)


def reinmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Liu et al. (2023), algorithm 2."""
    between = (softmax(logits / temperature) + np.eye(logits.size)) / 2
    return 2 * jacobian(between) - jacobian(softmax(logits)) / 2


def gapped(logits: np.ndarray, temperature: float, gap: float | None) -> np.ndarray:
    """Fan et al. (2022), section 4: the draw is lifted to the top, the others below the gap."""
    matrices = []
    for drawn, prob in enumerate(softmax(logits)):
        if prob == 0:  # never drawn
            matrices.append(np.zeros((logits.size, logits.size)))
            continue
        with np.errstate(divide="ignore"):  # the lead of what is certain has no end
            lead = -np.log1p(-prob) / prob if gap is None else gap
        shifted = np.minimum(logits, logits.max() - lead)
        shifted[drawn] = logits.max()
        matrices.append(jacobian(softmax(shifted / temperature)) / temperature)
    return np.stack(matrices)


def rao(gap: float, temperature: float) -> np.ndarray:
    """Mean matrices of the relaxed draw of two classes given the draw; logits ``(gap, 0)``.

    The difference of the perturbed logits is logistic, cut at zero.
    """
    if not np.isfinite(gap):
        return np.zeros((2, 2, 2))
    matrices = []
    for sign in (1.0, -1.0):

        def density(x, sign=sign):
            return expit(x - sign * gap) * expit(-(x - sign * gap))

        def slope(x):
            p = expit(x / temperature)
            return p * (1 - p) / temperature

        mean, _ = integrate.quad(lambda x: density(x) * slope(x), 0, 60)
        mean /= expit(sign * gap)
        matrices.append(mean * np.array([[1.0, -1.0], [-1.0, 1.0]]))
    return np.stack(matrices)


def reinmax_rao(gap: float, temperature: float) -> np.ndarray:
    """Wang and Bui (2026): twice the mean matrix between, less half that of the softmax."""
    p = expit(np.array([gap, -gap]))
    means = []
    for drawn, one in enumerate(np.eye(2)):
        between = (p + one) / 2
        odds = between[0] / between[1] if between[1] > 0 else np.inf
        means.append(rao(np.log(odds) if odds > 0 else -np.inf, temperature)[drawn])
    return 2 * np.stack(means) - jacobian(p) / 2


class Problem:
    """A network of few hidden units on the draws of several variables."""

    def __init__(self, variables: int, classes: int, scale: float = 1.0) -> None:
        rng = np.random.default_rng(variables + 10 * classes)
        self.logits = scale * rng.normal(size=(variables, classes))
        self.inner = rng.normal(size=(variables * classes, 6))
        self.outer = rng.normal(size=6)
        self.outcomes = np.eye(classes)[list(product(range(classes), repeat=variables))]
        picked = (self.outcomes * log_softmax(self.logits, -1)).sum((-2, -1))
        self.q = np.exp(picked)
        hidden = np.tanh(self.outcomes.reshape(len(self.q), -1) @ self.inner)
        self.f = hidden @ self.outer
        slope = (self.outer * (1 - hidden**2)) @ self.inner.T
        self.slope = slope.reshape(self.outcomes.shape)

    @property
    def gradient(self) -> np.ndarray:
        score = self.outcomes - softmax(self.logits, -1)
        return np.einsum("s,s,svk->vk", self.q, self.f, score)

    def moments(self, matrices: Callable[[np.ndarray], np.ndarray]) -> tuple[float, float]:
        """Relative bias and variance of an estimator, given its matrices."""
        drawn = self.outcomes.argmax(-1)
        estimates = np.stack(
            [
                np.einsum("sjk,sk->sj", matrices(logits)[drawn[:, each]], self.slope[:, each])
                for each, logits in enumerate(self.logits)
            ],
            1,
        )
        mean = np.einsum("s,svk->vk", self.q, estimates)
        variance = np.einsum("s,svk->", self.q, (estimates - mean) ** 2)
        bias = np.linalg.norm(mean - self.gradient) / np.linalg.norm(self.gradient)
        return float(bias), float(variance)
