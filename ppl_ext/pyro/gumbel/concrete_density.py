"""The density of relaxed categoricals (Concrete), its entropy, and its divergence.

``s = theta - tau y`` of a draw ``y`` is, up to a shift, the negative noise: ``softmax(s)`` is
Dirichlet(1, ..., 1) whatever the logits and the temperature. All three follow from that.
"""

import math

import numpy as np
import torch


def log_density(logits, temperature, scores):
    """Return the log-density of the log-ratios at ``y = scores + constant``.

    Args:
        logits: ``(*batch, class)``.
        temperature: ``(*batch,)``.
        scores: Values on the log-simplex, or those values shifted by any constant.
    """
    scores = scores.expand(torch.broadcast_shapes(logits.shape, scores.shape))
    possible = (logits > -torch.inf).expand(scores.shape)
    inside = torch.isfinite(scores)
    theta = torch.where(logits > -torch.inf, logits, 0.0)
    s = theta - temperature.unsqueeze(-1) * torch.where(inside, scores, 0.0)
    s = torch.where(possible, s, -torch.inf)
    count = possible.sum(-1)
    # Each term without the mean: lgamma(K) and K log K would drown the sum together.
    centred = torch.where(possible, s.log_softmax(-1), 0.0) + (
        count.to(s).log().unsqueeze(-1) * possible
    )
    # An index without an axis would be read as a number, which vmap does not know.
    constant = log_volumes(logits.shape[-1], s)[count.unsqueeze(-1)].squeeze(-1)
    # What rounding left of the log-mean is no more than an error, but stands in each term.
    total = centred.sum(-1) - count * torch.log1p(centred.detach().expm1().sum(-1) / count)
    density = constant + (count - 1) * temperature.log() + total
    return torch.where((inside == possible).all(-1), density, -torch.inf)


def log_of(x):
    """Return the logarithm, whose gradient at zero is zero in place of no number."""
    inside = x > 0
    return torch.where(inside, torch.where(inside, x, 1.0).log(), -torch.inf)


def entropy(logits, temperature):
    """Return the entropy of the log-ratios, which does not depend on possible logits."""
    count = (logits > -torch.inf).sum(-1).to(temperature)
    constant = torch.lgamma(count) + count * (-np.euler_gamma - torch.digamma(count))
    return -constant - (count - 1) * temperature.log()


def divergence(p_logits, q_logits):
    """Return the divergence between two of equal temperature, whatever it is."""
    possible = p_logits > -torch.inf
    same = (possible == (q_logits > -torch.inf)).all(-1)
    both = possible & (q_logits > -torch.inf)
    a = torch.where(both, q_logits, 0.0) - torch.where(both, p_logits, 0.0)
    a = torch.where(both, a, -torch.inf)
    top = a.amax(-1, keepdim=True)
    a = torch.where(both, a - top, 0.0)
    count = both.sum(-1).to(a)
    mean_log = _mean_log_of_weighted_exponentials(torch.where(both, a, -torch.inf))
    result = count * (mean_log - torch.digamma(count)) - a.sum(-1)
    return torch.where(same, result, torch.inf)


def _mean_log_of_weighted_exponentials(log_weights):
    """Return ``E log sum_k w_k E_k``, the largest weight being 1.

    The integral of ``(exp(-t) - prod_k 1 / (1 + w_k t)) / t``, by the trapezoidal rule in
    ``log t``, where it is analytic in a strip and the rule exact to every digit.
    """
    step, total = 0.25, 0.0
    for v in np.arange(-45.0, 45.0, step):
        product = torch.nn.functional.softplus(log_weights + v, threshold=50.0).sum(-1)
        total = total + (math.exp(-math.exp(min(v, 7.0))) - torch.exp(-product))
    return step * total


def log_volumes(classes, like):
    """Return ``lgamma(K) - K log K`` for every K from 0 to the number of classes."""
    counts = torch.arange(1, classes + 1, dtype=torch.float64, device=like.device)
    volumes = torch.lgamma(counts) - counts * counts.log()
    return torch.nn.functional.pad(volumes, (1, 0)).to(like)


def log_volume(classes):
    """Return the last of them."""
    return math.lgamma(classes) - classes * math.log(classes)
