"""The networks of the cytometry model and its bound, in torch."""

import pyro.distributions as dist
import torch
from torch.nn.functional import log_softmax

import ppl_ext.pyro as px
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
    hidden = torch.relu(first + weights[f"{name}_in_bias"])
    hidden = torch.relu(hidden @ weights[f"{name}_mid"] + weights[f"{name}_mid_bias"])
    return hidden @ weights[f"{name}_out"]


def classify(weights, x):
    """Logits of ``q(c | x)``, ``[..., cluster]``."""
    correction = _network(weights, "class", x @ weights["class_in"])
    return x @ weights["class_skip"] + weights["class_bias"] + correction


def encode(weights, x, c):
    """Location and scale of ``q(z | x, c)`` for clusters one-hot or relaxed."""
    change = _network(weights, "z", x @ weights["z_in"] + c @ weights["z_class"])
    shift, log_sd = change.chunk(2, -1)
    return x @ weights["z_skip"] + shift, (weights["z_log_sd"] + log_sd).exp()


def decode(weights, z):
    """Location and scale of ``p(x | z)``."""
    loc = z @ weights["x_skip"] + _network(weights, "x", z @ weights["x_in"])
    return loc, weights["x_log_sd"].exp() + SD_FLOOR


def prior_factors(weights):
    """Lower triangular factors of the precisions of ``p(z | c)``, ``[cluster, dim, dim]``."""
    diagonal = weights["prior_log_diagonal"].exp()
    return weights["prior_factor"].tril(-1) + torch.diag_embed(diagonal)


def divergence(weights, loc, sd, c):
    """``KL(q(z | x, c) || p(z | c))`` for clusters one-hot or relaxed, nats."""
    factor = torch.tensordot(c, prior_factors(weights), 1)
    white = torch.einsum("...ij,...i->...j", factor, loc - c @ weights["prior_loc"])
    spread = torch.einsum("...ij,...i->...", factor.square(), sd.square())
    log_determinant = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    dim = loc.shape[-1]
    return 0.5 * (white.square().sum(-1) + spread - dim) - log_determinant - sd.log().sum(-1)


def _log_likelihood(weights, z, x):
    # The network's own scales: nothing to check at each step.
    return dist.Normal(*decode(weights, z), validate_args=False).log_prob(x).sum(-1)


def cluster_bounds(weights, x, share=1.0):
    """One-draw bounds of ``log p(x | c)`` for each cluster, ``[cell, cluster]``."""
    clusters = torch.eye(len(weights["prior_loc"]))
    loc, sd = encode(weights, x[:, None], clusters)
    z = loc + sd * torch.randn_like(loc)
    return _log_likelihood(weights, z, x[:, None]) - share * divergence(weights, loc, sd, clusters)


def bound(weights, x, share=1.0, temperature=None):
    """One-draw bound of ``log p(x)`` for each cell, ``[cell]``.

    Args:
        weights: Of the networks and the prior.
        x: ``[cell, marker]``, standardised.
        share: Of the divergences; one makes it a bound.
        temperature: None sums over the clusters exactly; a number draws a relaxed one.
    """
    log_q = log_softmax(classify(weights, x), -1)
    log_p = log_softmax(weights["prior_logits"], -1)
    over_clusters = (log_q.exp() * (log_q - log_p)).sum(-1)
    if temperature is None:
        bounds = cluster_bounds(weights, x, share)
        return (log_q.exp() * bounds).sum(-1) - share * over_clusters
    relaxed = px.distributions.ExpRelaxedOneHotCategorical(
        temperature, logits=log_q, validate_args=False
    )
    c = relaxed.rsample().exp()
    loc, sd = encode(weights, x, c)
    z = loc + sd * torch.randn_like(loc)
    likelihood = _log_likelihood(weights, z, x)
    return likelihood - share * (divergence(weights, loc, sd, c) + over_clusters)
