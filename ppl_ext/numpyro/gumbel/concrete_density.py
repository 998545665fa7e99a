"""The density of relaxed categoricals (Concrete), its entropy, and its divergence.

``s = theta - tau y`` of a draw ``y`` is, up to a shift, the negative noise: ``softmax(s)`` is
Dirichlet(1, ..., 1) whatever the logits and the temperature. All three follow from that.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import digamma
from jax.scipy.special import gammaln as lgamma
from scipy.special import gammaln


def log_density(logits, temperature, scores):
    """Return the log-density of the log-ratios at ``y = scores + constant``.

    Args:
        logits: ``(*batch, class)``.
        temperature: ``(*batch,)``.
        scores: Values on the log-simplex, or those values shifted by any constant.
    """
    scores = jnp.broadcast_to(scores, jnp.broadcast_shapes(logits.shape, scores.shape))
    possible = jnp.broadcast_to(logits > -jnp.inf, scores.shape)
    inside = jnp.isfinite(scores)
    theta = jnp.where(logits > -jnp.inf, logits, 0.0)
    s = theta - temperature[..., None] * jnp.where(inside, scores, 0.0)
    count = possible.sum(-1)
    # Each term without the mean: lgamma(K) and K log K would drown the sum together.
    top = jax.lax.stop_gradient(jnp.max(s, -1, where=possible, initial=-jnp.inf))
    s = jnp.where(possible, s - top[..., None], 0.0)
    mean = jnp.sum(jnp.exp(s), -1, where=possible) / count
    centred = jnp.where(possible, s - jnp.log(mean)[..., None], 0.0)
    constant = log_volumes(logits.shape[-1]).astype(s.dtype)[count]
    # What rounding left of the log-mean is no more than an error, but stands in each term.
    rest = jnp.log1p(jnp.expm1(jax.lax.stop_gradient(centred)).sum(-1) / count)
    density = constant + (count - 1) * jnp.log(temperature) + (centred.sum(-1) - count * rest)
    return jnp.where((inside == possible).all(-1), density, -jnp.inf)


def log_of(x):
    """Return the logarithm, whose gradient at zero is zero in place of no number."""
    inside = x > 0
    return jnp.where(inside, jnp.log(jnp.where(inside, x, 1.0)), -jnp.inf)


def entropy(logits, temperature):
    """Return the entropy of the log-ratios, which does not depend on possible logits."""
    count = (logits > -jnp.inf).sum(-1).astype(temperature.dtype)
    constant = lgamma(count) + count * (-np.euler_gamma - digamma(count))
    return -constant - (count - 1) * jnp.log(temperature)


def divergence(p_logits, q_logits):
    """Return the divergence between two of equal temperature, whatever it is."""
    possible = p_logits > -jnp.inf
    same = (possible == (q_logits > -jnp.inf)).all(-1)
    both = possible & (q_logits > -jnp.inf)
    a = jnp.where(both, q_logits, 0.0) - jnp.where(both, p_logits, 0.0)
    a = jnp.where(both, a, -jnp.inf)
    top = a.max(-1, keepdims=True)
    a = jnp.where(both, a - top, 0.0)
    count = both.sum(-1).astype(a.dtype)
    mean_log = _mean_log_of_weighted_exponentials(jnp.where(both, a, -jnp.inf))
    result = count * (mean_log - digamma(count)) - a.sum(-1)
    return jnp.where(same, result, jnp.inf)


def _mean_log_of_weighted_exponentials(log_weights):
    """Return ``E log sum_k w_k E_k``, the largest weight being 1.

    The integral of ``(exp(-t) - prod_k 1 / (1 + w_k t)) / t``, by the trapezoidal rule in
    ``log t``, where it is analytic in a strip and the rule exact to every digit.
    """
    step = 0.25
    nodes = np.arange(-45.0, 45.0, step)

    def add(total, node):
        product = jnp.logaddexp(0.0, log_weights + node[0]).sum(-1)
        return total + (node[1] - jnp.exp(-product)), None

    pairs = np.stack([nodes, np.exp(-np.exp(np.minimum(nodes, 7.0)))], -1)
    start = jnp.zeros(log_weights.shape[:-1], log_weights.dtype)
    total, _ = jax.lax.scan(add, start, jnp.asarray(pairs, log_weights.dtype))
    return step * total


def log_volumes(classes):
    """Return ``lgamma(K) - K log K`` for every K up to the number of classes."""
    counts = np.arange(1, classes + 1)
    return jnp.asarray(np.append(0.0, gammaln(counts) - counts * np.log(counts)))
