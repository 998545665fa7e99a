"""Probabilities of draws without replacement: of a list, of a set, and of being among them.

Classes arrive as exponentials with rates ``exp(logits)``; the first ``k`` to arrive are the draw.
Integrals over time are sums over its logarithm: what is integrated is analytic there, and the
trapezoidal rule exact to every digit.
"""

import math

import torch

from ppl_ext.pyro.gumbel import standard_gumbel


def log_prob_ordered(logits, index):
    """Return the log-probability that these classes come first, in this order."""
    chosen, rest = _split(logits, index)
    after = chosen.flip(-1).logcumsumexp(-1).flip(-1)
    remaining = torch.logaddexp(after, _log_sum(rest).unsqueeze(-1))
    possible = (chosen > -torch.inf).all(-1)
    terms = torch.where(possible.unsqueeze(-1), chosen - remaining, 0.0)
    return torch.where(possible, terms.sum(-1), -torch.inf)


def log_prob_of_set(logits, index):
    """Return the log-probability that these classes come first, in whatever order."""
    chosen, rest = _split(logits, index)
    total = _log_sum(rest)
    possible = (chosen > -torch.inf).all(-1)
    certain = total == -torch.inf
    usual = possible & ~certain
    # In units of the first arrival of all the others.
    rates = torch.where(usual.unsqueeze(-1), chosen - total.unsqueeze(-1), 0.0)
    k = index.shape[-1]
    step = 0.1 / max(1.0, math.sqrt(k / 30))
    end = math.log(k + 60 + 12 * math.sqrt(k))
    v = torch.arange(-38.0, end, step, dtype=logits.dtype, device=logits.device)
    v = v.reshape(-1, *(1,) * total.dim())
    arrived = standard_gumbel.log_sf(-(rates + v.unsqueeze(-1))).sum(-1)
    integral = torch.logsumexp(v - v.exp() + arrived, 0) + math.log(step)
    result = torch.where(certain, 0.0, integral.clamp(max=0.0))
    return torch.where(possible, result, -torch.inf)


def inclusion_probs(logits, k):
    """Return the probability of each class to be among the first ``k``."""
    possible = logits > -torch.inf
    if k == logits.shape[-1]:
        return possible.to(logits.dtype)
    # In units of the first class that is left out where all goes by rank.
    pivot = logits.topk(k + 1).values[..., -1:]
    certain = pivot == -torch.inf
    rates = torch.where(possible & ~certain, logits - torch.where(certain, 0.0, pivot), 0.0)
    step = 0.2 / max(1.0, math.sqrt(k / 30))
    start = -38.0 if logits.dtype == torch.float64 else -18.0
    end = math.log(k + 60 + 12 * math.sqrt(k))
    v = torch.arange(start, end, step, dtype=logits.dtype, device=logits.device)
    v = v.reshape(-1, *(1,) * logits.dim())
    hazard = (rates + v).clamp(max=30.0).exp()
    arrived = torch.where(possible, -torch.expm1(-hazard), 0.0)
    open_still = _fewer_arrived(arrived, k)
    density = hazard * torch.exp(-hazard) * step
    among = (density * open_still).sum(0)
    # A fast class is nearly certain, and has arrived before the first node.
    left_out = (density * (1 - open_still)).sum(0)
    result = torch.where(rates <= 0, among, 1 - left_out)
    result = torch.where(certain, 1.0, result)
    return torch.where(possible, result, 0.0)


def _fewer_arrived(arrived, k):
    """Return the probability that fewer than ``k`` of the other classes have arrived."""
    before = _tallies(arrived, k)
    after = _tallies(arrived.flip(-1), k).flip(-2)
    return (before * after.cumsum(-1).flip(-1)).sum(-1)


def _tallies(arrived, k):
    """Return the probabilities of 0 to ``k - 1`` arrivals among the classes before each."""
    tally = torch.nn.functional.pad(torch.ones_like(arrived[..., :1]), (0, k - 1))
    tallies = []
    for each in arrived.unbind(-1):
        tallies.append(tally)
        each = each.unsqueeze(-1)
        tally = tally * (1 - each) + torch.nn.functional.pad(tally[..., :-1], (1, 0)) * each
    return torch.stack(tallies, -2)


def _split(logits, index):
    """Return the logits of these classes, and all with theirs ruled out."""
    return logits.gather(-1, index), logits.scatter(-1, index, -torch.inf)


def _log_sum(logits):
    """Return ``logsumexp``, with a gradient of zero where there is nothing to sum."""
    some = (logits > -torch.inf).any(-1)
    total = torch.where(some.unsqueeze(-1), logits, 0.0).logsumexp(-1)
    return torch.where(some, total, -torch.inf)
