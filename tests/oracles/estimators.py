"""Expectations over a few discrete variables by enumeration: values, gradients, variances.

The integrand is that of an evidence lower bound, ``f(z) = scale * g(z) - log q(z)``, for three
members of a batch: one with ordinary logits, one with peaked ones, one with a class ruled out.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy.special import log_softmax


@dataclass(frozen=True)
class Toy:
    """Logits and the weights of a function; everything about them is known."""

    logits: np.ndarray  # (batch, variable, class)
    scale: np.ndarray  # (batch,)
    inner: np.ndarray  # (variable * class, hidden)
    outer: np.ndarray  # (hidden,)
    is_bent: bool = True  # otherwise g is linear in the draws

    @property
    def outcomes(self) -> np.ndarray:
        """All one-hot values ``(outcome, variable, class)``."""
        variables, classes = self.logits.shape[1:]
        return np.eye(classes)[list(product(range(classes), repeat=variables))]

    @property
    def g(self) -> np.ndarray:
        """Values ``(outcome,)``."""
        hidden = self.outcomes.reshape(len(self.outcomes), -1) @ self.inner
        return (np.tanh(hidden) if self.is_bent else hidden) @ self.outer

    @property
    def g_slope(self) -> np.ndarray:
        """Derivatives ``(outcome, variable, class)`` of ``g`` at the draws."""
        hidden = np.tanh(self.outcomes.reshape(len(self.outcomes), -1) @ self.inner)
        outer = self.outer * (1 - hidden**2 if self.is_bent else np.ones_like(hidden))
        return (outer @ self.inner.T).reshape(self.outcomes.shape)

    @property
    def q(self) -> np.ndarray:
        """Probabilities ``(batch, outcome)``."""
        picked = np.where(self.outcomes > 0, log_softmax(self.logits, -1)[:, None], 0.0)
        return np.exp(picked.sum((-2, -1)))

    @property
    def f(self) -> np.ndarray:
        """Values ``(batch, outcome)``, zero where an outcome is ruled out."""
        q = self.q
        return self.scale[:, None] * self.g - np.log(np.where(q > 0, q, 1.0))

    @property
    def score(self) -> np.ndarray:
        """Derivatives of the log-probability ``(batch, outcome, variable, class)``."""
        return self.outcomes - np.exp(log_softmax(self.logits, -1))[:, None]

    @property
    def value(self) -> np.ndarray:
        return (self.q * self.f).sum(-1)

    @property
    def gradient(self) -> np.ndarray:
        """Gradient in the logits ``(batch, variable, class)``."""
        return np.einsum("bs,bs,bsvk->bvk", self.q, self.f, self.score)

    @property
    def scale_gradient(self) -> np.ndarray:
        return self.q @ self.g

    def path_gradient(self, matrices: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Mean gradient of ``scale * g`` of an estimator that sends the slope through matrices.

        Args:
            matrices: Function of logits ``(class,)`` with a matrix for each draw.
        """
        drawn, gradient = self.outcomes.argmax(-1), np.zeros(self.logits.shape)
        for batch, variable in np.ndindex(self.logits.shape[:2]):
            matrix = matrices(self.logits[batch, variable])[drawn[:, variable]]
            sent = np.einsum("sjk,sk->sj", matrix, self.g_slope[:, variable])
            gradient[batch, variable] = self.scale[batch] * (self.q[batch] @ sent)
        return gradient

    def score_variance(self) -> np.ndarray:
        """Variance ``(batch,)`` of the score function, its path through ``f`` included."""
        estimate = (self.f - 1.0)[..., None, None] * self.score
        return self._variance(self.q, estimate)

    def leave_one_out_variance(self, num_draws: int) -> np.ndarray:
        """Variance of leave-one-out: a mean over the pairs of draws, by Hoeffding's formula."""
        f, score, q = self.f, self.score, self.q
        difference = (f[:, :, None] - f[:, None, :])[..., None, None] / 2
        path = (score[:, :, None] + score[:, None, :]) / 2
        pair = difference * (score[:, :, None] - score[:, None, :]) - path
        one = np.einsum("bt,bstvk->bsvk", q, pair)
        whole = self._variance(q[:, :, None] * q[:, None, :], pair)
        single = self._variance(q, one)
        return (4 * (num_draws - 2) * single + 2 * whole) / (num_draws * (num_draws - 1))

    def local_variance(self) -> np.ndarray:
        """Variance of the expectation over one variable at a time, its path included."""
        variables, classes = self.logits.shape[1:]
        probs = np.exp(log_softmax(self.logits, -1))
        shape = (len(self.logits), *[classes] * variables)
        f, estimate = self.f.reshape(shape), []
        for each in range(variables):
            axes = np.moveaxis(f, 1 + each, -1)[..., None, :]  # (..., 1, class)
            table = probs[:, each].reshape(len(f), *[1] * (variables - 1), classes)
            jacobian = table[..., None] * np.eye(classes) - table[..., None] * table[..., None, :]
            inner = (jacobian * axes).sum(-1)
            rest = np.expand_dims(inner, 1 + each)
            estimate.append(np.broadcast_to(rest, (*shape, classes)).reshape(*self.f.shape, -1))
        estimate = np.stack(estimate, -2)
        # The path through -log q: the mean over the variables of what is left at the draw.
        path = -self.score * (variables - 1) / variables
        return self._variance(self.q, estimate + path)

    def mirror_variance(self) -> np.ndarray:
        """Variance of DisARM, by the pairs of a draw and its mirror image."""
        q_one = np.exp(log_softmax(self.logits, -1))[..., 1]
        gap = self.logits[..., 1] - self.logits[..., 0]
        classes = self.outcomes[..., 1].astype(int)
        first, second = classes[:, None], classes[None]
        # Both are one, or both zero, with what exceeds one half on the likelier side.
        both = np.maximum(2 * q_one - 1, 0.0)[:, None, None]
        neither = np.maximum(1 - 2 * q_one, 0.0)[:, None, None]
        apart = np.minimum(q_one, 1 - q_one)[:, None, None]
        same = np.where(first == 1, both, neither)
        joint = np.where(first == second, same, apart).prod(-1)
        weight = 1 / (1 + np.exp(-np.abs(gap)))
        sign = np.where(first != second, np.where(second == 1, -1.0, 1.0), 0.0)
        half = (self.f[:, :, None] - self.f[:, None, :])[..., None] / 2
        in_gap = half * sign * weight[:, None, None]
        path = -(self.score[:, :, None] + self.score[:, None, :]) / 2
        return self._variance(joint, np.stack([-in_gap, in_gap], -1) + path)

    def bound(self, num_draws: int) -> tuple[np.ndarray, np.ndarray]:
        """The bound of several draws and its gradient in the logits, without ties in ``f``."""
        f, q, score = self.f, self.q, self.score
        value, gradient = np.zeros(len(f)), np.zeros(self.logits.shape)
        for draws in product(range(f.shape[1]), repeat=num_draws):
            index = list(draws)
            weight = q[:, index].prod(-1)
            values = f[:, index]
            top = values.max(-1, keepdims=True)
            mass = np.exp(values - top)
            bound = top[:, 0] + np.log(mass.mean(-1))
            share = mass / mass.sum(-1, keepdims=True)
            # The score of all draws, and the path through each -log q.
            each = bound[:, None] - share
            value += weight * bound
            gradient += np.einsum("b,bm,bmvk->bvk", weight, each, score[:, index])
        return value, gradient

    @staticmethod
    def _variance(weights: np.ndarray, estimate: np.ndarray) -> np.ndarray:
        axes = tuple(range(1, weights.ndim))
        mean = (weights[..., None, None] * estimate).sum(axes, keepdims=True)
        return (weights[..., None, None] * (estimate - mean) ** 2).sum((*axes, -2, -1))


def make_toy(variables: int, classes: int) -> Toy:
    """Draw a toy."""
    rng = np.random.default_rng(variables * classes)
    ordinary = rng.normal(size=(variables, classes))
    peaked = 3.0 * rng.normal(size=(variables, classes)) / np.sqrt(classes)
    masked = rng.normal(size=(variables, classes))
    masked[0, 0] = -np.inf
    return Toy(
        np.stack([ordinary, peaked, masked]),
        np.array([1.0, 2.0, -1.0]),
        rng.normal(size=(variables * classes, 5)),
        rng.normal(size=5),
    )


CATEGORICAL = make_toy(3, 3)
BINARY = make_toy(4, 2)
SINGLE = make_toy(1, 5)
LINEAR = replace(BINARY, is_bent=False)


def assert_means(estimates, truths):
    """Compare means over the first axis with the truth, in z-tests of 4.5 standard errors."""
    for many, truth in zip(estimates, truths, strict=True):
        assert np.isfinite(many).all()
        error = many.std(0) / np.sqrt(len(many))
        np.testing.assert_array_less(np.abs(many.mean(0) - truth), 4.5 * error + 2e-5)
