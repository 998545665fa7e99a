"""Probabilities of draws without replacement: of a list, of a set, and of being among them.

Classes arrive as exponentials with rates ``exp(logits)``; the first ``k`` to arrive are the draw.
Integrals over time are sums over its logarithm: what is integrated is analytic there, and the
trapezoidal rule exact to every digit.
"""

import math

import jax
import jax.numpy as jnp

from ppl_ext.numpyro.gumbel import standard_gumbel


def log_prob_ordered(logits, index):
    """Return the log-probability that these classes come first, in this order."""
    chosen, rest = _split(logits, index)
    after = jax.lax.cumlogsumexp(chosen, axis=chosen.ndim - 1, reverse=True)
    remaining = jnp.logaddexp(after, _log_sum(rest)[..., None])
    possible = (chosen > -jnp.inf).all(-1)
    terms = jnp.where(possible[..., None], chosen - remaining, 0.0)
    return jnp.where(possible, terms.sum(-1), -jnp.inf)


def log_prob_of_set(logits, index):
    """Return the log-probability that these classes come first, in whatever order."""
    chosen, rest = _split(logits, index)
    total = _log_sum(rest)
    possible = (chosen > -jnp.inf).all(-1)
    certain = total == -jnp.inf
    usual = possible & ~certain
    # In units of the first arrival of all the others.
    rates = jnp.where(usual[..., None], chosen - total[..., None], 0.0)
    k = index.shape[-1]
    step = 0.1 / max(1.0, math.sqrt(k / 30))
    end = math.log(k + 60 + 12 * math.sqrt(k))
    v = jnp.arange(-38.0, end, step, dtype=logits.dtype)
    v = v.reshape(-1, *(1,) * total.ndim)
    arrived = standard_gumbel.log_sf(-(rates + v[..., None])).sum(-1)
    integral = jax.nn.logsumexp(v - jnp.exp(v) + arrived, 0) + math.log(step)
    result = jnp.where(certain, 0.0, jnp.minimum(integral, 0.0))
    return jnp.where(possible, result, -jnp.inf)


def inclusion_probs(logits, k):
    """Return the probability of each class to be among the first ``k``."""
    possible = logits > -jnp.inf
    if k == logits.shape[-1]:
        return possible.astype(logits.dtype)
    # In units of the first class that is left out where all goes by rank.
    pivot = jax.lax.top_k(logits, k + 1)[0][..., -1:]
    certain = pivot == -jnp.inf
    rates = jnp.where(possible & ~certain, logits - jnp.where(certain, 0.0, pivot), 0.0)
    step = 0.2 / max(1.0, math.sqrt(k / 30))
    start = -38.0 if logits.dtype == jnp.float64 else -18.0
    end = math.log(k + 60 + 12 * math.sqrt(k))
    v = jnp.arange(start, end, step, dtype=logits.dtype)
    v = v.reshape(-1, *(1,) * logits.ndim)
    hazard = jnp.exp(jnp.minimum(rates + v, 30.0))
    arrived = jnp.where(possible, -jnp.expm1(-hazard), 0.0)
    open_still = _fewer_arrived(arrived, k)
    density = hazard * jnp.exp(-hazard) * step
    among = (density * open_still).sum(0)
    # A fast class is nearly certain, and has arrived before the first node.
    left_out = (density * (1 - open_still)).sum(0)
    result = jnp.where(rates <= 0, among, 1 - left_out)
    result = jnp.where(certain, 1.0, result)
    return jnp.where(possible, result, 0.0)


def _fewer_arrived(arrived, k):
    """Return the probability that fewer than ``k`` of the other classes have arrived."""
    before = _tallies(arrived, k)
    after = jnp.flip(_tallies(jnp.flip(arrived, -1), k), -2)
    return (before * jnp.flip(after.cumsum(-1), -1)).sum(-1)


def _tallies(arrived, k):
    """Return the probabilities of 0 to ``k - 1`` arrivals among the classes before each."""

    def count(tally, each):
        moved = jnp.pad(tally[..., :-1], [(0, 0)] * (tally.ndim - 1) + [(1, 0)])
        return tally * (1 - each[..., None]) + moved * each[..., None], tally

    start = jnp.zeros((*arrived.shape[:-1], k), arrived.dtype).at[..., 0].set(1.0)
    _, tallies = jax.lax.scan(count, start, jnp.moveaxis(arrived, -1, 0))
    return jnp.moveaxis(tallies, 0, -2)


def _split(logits, index):
    """Return the logits of these classes, and all with theirs ruled out."""
    chosen = jnp.take_along_axis(logits, index, -1)
    return chosen, jnp.put_along_axis(logits, index, -jnp.inf, -1, inplace=False)


def _log_sum(logits):
    """Return ``logsumexp``, with a gradient of zero where there is nothing to sum."""
    some = (logits > -jnp.inf).any(-1)
    total = jnp.where(some[..., None], logits, 0.0)
    total = jax.nn.logsumexp(total, -1)
    return jnp.where(some, total, -jnp.inf)
