"""Different draws of several variables together: the largest perturbed log-probabilities."""

import torch

from ppl_ext.pyro.gumbel.noise import gumbel_noise


def draw_different(logits, count):
    """Draw outcomes without replacement, the variables one after the other.

    The outcomes are the leaves of a tree. The largest perturbed log-probability under a node is
    known before the node is opened, so that only ``count`` nodes need to be kept.

    Args:
        logits: Logits with shape ``(*batch, variable, class)``, float32 or wider.
        count: Number of draws.

    Returns:
        Classes ``(count, *batch, variable)``; whether there is such an outcome, with shape
        ``(count, *batch)``; and the logarithm of the probability of all the others ``(*batch,)``,
        a sum of what was dropped.

    References:
        Kool, van Hoof, Welling (2019), Stochastic Beams and Where to Find Them, ICML,
        arXiv:1903.06059.
    """
    log_probs = logits.detach().log_softmax(-1)
    *batch, variables, classes = logits.shape
    # The beam is the last axis while it is built.
    first = torch.arange(count, device=logits.device) == 0
    log_p = torch.where(first, 0.0, -torch.inf).to(logits.dtype).expand(*batch, count)
    perturbed, index, rest = log_p, [], log_p.new_full(batch, -torch.inf)
    for number in range(variables):
        below = log_p[..., None] + log_probs[..., None, number, :]
        noise = gumbel_noise(below.shape, dtype=below.dtype, device=below.device)
        keys = condition(below + noise, perturbed[..., None]).flatten(-2)
        below = below.flatten(-2)
        perturbed, chosen = keys.topk(count)
        kept = (chosen[..., None] == torch.arange(keys.shape[-1], device=keys.device)).any(-2)
        dropped = torch.where(kept, -torch.inf, below).logsumexp(-1)
        parent = chosen // classes
        index = [each.gather(-1, parent) for each in index] + [chosen % classes]
        log_p = below.gather(-1, chosen)
        rest = torch.logaddexp(rest, dropped)
    index = torch.stack(index, -1).movedim(-2, 0)
    return index, log_p.movedim(-1, 0) > -torch.inf, rest


def condition(perturbed, maximum):
    """Shift perturbed values ``(*batch, child)`` so that their maximum is the one given."""
    top = perturbed.amax(-1, keepdim=True)
    possible = (perturbed > -torch.inf) & (maximum > -torch.inf)
    perturbed, maximum, top = (
        torch.where(possible, each, 0.0) for each in (perturbed, maximum, top)
    )
    gap = maximum - perturbed + torch.log1p(-torch.exp(perturbed - top))
    shifted = maximum - gap.clamp(min=0.0) - torch.log1p(torch.exp(-gap.abs()))
    return torch.where(possible, shifted, -torch.inf)
