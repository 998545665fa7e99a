"""The networks of the cytometry model and its bound, in JAX."""

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

import ppl_ext.numpyro as px
from models.cytometry.settings import SD_FLOOR

__all__ = [
    "bound",
    "classify",
    "cluster_bounds",
    "decode",
    "divergence",
    "encode",
    "prior_factors",
]


def _network(weights, name, first):
    """Two hidden layers on what the first linear map has given."""
    hidden = jax.nn.relu(first + weights[f"{name}_in_bias"])
    hidden = jax.nn.relu(hidden @ weights[f"{name}_mid"] + weights[f"{name}_mid_bias"])
    return hidden @ weights[f"{name}_out"]


def classify(weights, x):
    """Logits of ``q(c | x)``, ``[..., cluster]``."""
    correction = _network(weights, "class", x @ weights["class_in"])
    return x @ weights["class_skip"] + weights["class_bias"] + correction


def encode(weights, x, c):
    """Location and scale of ``q(z | x, c)`` for clusters one-hot or relaxed."""
    change = _network(weights, "z", x @ weights["z_in"] + c @ weights["z_class"])
    shift, log_sd = jnp.split(change, 2, -1)
    return x @ weights["z_skip"] + shift, jnp.exp(weights["z_log_sd"] + log_sd)


def decode(weights, z):
    """Location and scale of ``p(x | z)``."""
    loc = z @ weights["x_skip"] + _network(weights, "x", z @ weights["x_in"])
    return loc, jnp.exp(weights["x_log_sd"]) + SD_FLOOR


def prior_factors(weights):
    """Lower triangular factors of the precisions of ``p(z | c)``, ``[cluster, dim, dim]``."""
    diagonal = jnp.exp(weights["prior_log_diagonal"])
    return jnp.tril(weights["prior_factor"], -1) + diagonal[..., None] * jnp.eye(diagonal.shape[1])


def divergence(weights, loc, sd, c):
    """``KL(q(z | x, c) || p(z | c))`` for clusters one-hot or relaxed, nats."""
    factor = jnp.tensordot(c, prior_factors(weights), 1)
    white = jnp.einsum("...ij,...i->...j", factor, loc - c @ weights["prior_loc"])
    spread = jnp.einsum("...ij,...i->...", factor**2, sd**2)
    log_determinant = jnp.log(jnp.diagonal(factor, axis1=-2, axis2=-1)).sum(-1)
    dim = loc.shape[-1]
    return 0.5 * ((white**2).sum(-1) + spread - dim) - log_determinant - jnp.log(sd).sum(-1)


def cluster_bounds(rng_key, weights, x, share=1.0):
    """One-draw bounds of ``log p(x | c)`` for each cluster, ``[cell, cluster]``."""
    clusters = jnp.eye(len(weights["prior_loc"]))
    loc, sd = encode(weights, x[:, None], clusters)
    z = loc + sd * jax.random.normal(rng_key, loc.shape)
    likelihood = dist.Normal(*decode(weights, z)).log_prob(x[:, None]).sum(-1)
    return likelihood - share * divergence(weights, loc, sd, clusters)


def bound(rng_key, weights, x, share=1.0, temperature=None):
    """One-draw bound of ``log p(x)`` for each cell, ``[cell]``.

    Args:
        rng_key: Random key.
        weights: Of the networks and the prior.
        x: ``[cell, marker]``, standardised.
        share: Of the divergences; one makes it a bound.
        temperature: None sums over the clusters exactly; a number draws a relaxed one.
    """
    log_q = jax.nn.log_softmax(classify(weights, x))
    log_p = jax.nn.log_softmax(weights["prior_logits"])
    over_clusters = (jnp.exp(log_q) * (log_q - log_p)).sum(-1)
    if temperature is None:
        bounds = cluster_bounds(rng_key, weights, x, share)
        return (jnp.exp(log_q) * bounds).sum(-1) - share * over_clusters
    cluster_key, z_key = jax.random.split(rng_key)
    relaxed = px.distributions.ExpRelaxedOneHotCategorical(temperature, logits=log_q)
    c = jnp.exp(relaxed.sample(cluster_key))
    loc, sd = encode(weights, x, c)
    z = loc + sd * jax.random.normal(z_key, loc.shape)
    likelihood = dist.Normal(*decode(weights, z)).log_prob(x).sum(-1)
    return likelihood - share * (divergence(weights, loc, sd, c) + over_clusters)
