"""Relaxed subsets of a given size."""

import torch

from ppl_ext.estimators.arguments import check_size
from ppl_ext.pyro.gumbel.categorical_draws import straight_through
from ppl_ext.pyro.gumbel.logits import count_possible, read_class_logits, read_temperature, widen
from ppl_ext.pyro.gumbel.noise import gumbel_noise

__all__ = ["relaxed_top_k"]


def relaxed_top_k(
    logits: torch.Tensor,
    k: int,
    temperature: torch.Tensor | float,
    sample_shape: tuple[int, ...] = (),
    *,
    hard: bool = False,
) -> torch.Tensor:
    r"""Draw relaxed subsets of ``k`` classes: ``k`` softmaxes, each without the ones before.

    .. math:: x = \sum_{r=1}^k p^r, \quad p^r = \mathrm{softmax}(\alpha^r / \tau), \quad
        \alpha^1 = \theta + G, \quad \alpha^{r+1} = \alpha^r + \log(1 - p^r)

    As the temperature falls, the draws become those of ``PlackettLuce`` without their order. The
    relaxed draws have no known density, so this is a function and no distribution; for a
    log-probability use ``PlackettLuce``.

    Args:
        logits: Unnormalised log-probabilities ``(*batch, class)``; ``-inf`` rules a class out.
        k: Size of the subsets, at least 1 and at most the number of possible classes.
        temperature: Positive, with a shape that broadcasts against ``(*batch,)``.
        sample_shape: Draws of each member of the batch, which come first.
        hard: Whether the values are 0 or 1, with the gradient of the relaxed ones.

    Returns:
        Memberships ``(*sample_shape, *batch, class)``, which sum to ``k``.

    Raises:
        ValueError: ``k`` is no whole number from 1 to the number of possible classes, a
            temperature that is not positive or does not broadcast, no logits or NaN, integers.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> soft = relaxed_top_k(torch.tensor([0.0, 1.0, 2.0, 3.0]), 2, 0.5, (1000,))
        >>> soft.shape, round(float(soft.sum(-1).mean()), 4)
        (torch.Size([1000, 4]), 2.0)
        >>> hard = relaxed_top_k(torch.tensor([0.0, 1.0, 2.0, 3.0]), 2, 0.5, hard=True)
        >>> sorted(hard.tolist())
        [0.0, 0.0, 1.0, 1.0]

    References:
        Xie, Ermon (2019), Reparameterizable Subset Sampling via Continuous Relaxations, IJCAI,
        arXiv:1901.10517.
    """
    called = "relaxed_top_k"
    logits = read_class_logits(called, None, logits, None)
    check_size(called, k, count_possible(logits, None))
    temperature = read_temperature(called, temperature, logits, logits.shape[:-1], None)
    wide = widen(logits)
    batch_shape = torch.broadcast_shapes(temperature.shape, logits.shape[:-1])
    shape = (*sample_shape, *batch_shape, logits.shape[-1])
    possible = wide > -torch.inf
    noise = gumbel_noise(shape, dtype=wide.dtype, device=wide.device)
    perturbed = torch.where(possible, wide, 0.0) + noise
    alpha, soft = perturbed, torch.zeros_like(perturbed)
    for _ in range(k):
        scores = torch.where(possible, alpha / temperature.unsqueeze(-1), -torch.inf)
        p = scores.softmax(-1)
        soft = soft + p
        alpha = alpha + _log_rest(scores, p)
    soft = soft.to(logits.dtype)
    if not hard:
        return soft
    chosen = torch.where(possible, perturbed, -torch.inf).topk(k).indices
    return straight_through(torch.zeros_like(soft).scatter(-1, chosen, 1.0), soft)


def _log_rest(scores, p):
    """Return ``log(1 - p)``; for the largest by its rivals, as ``1 - p`` may be rounded away."""
    largest = scores.argmax(-1, keepdim=True)
    rivals = scores.scatter(-1, largest, -torch.inf).logsumexp(-1, keepdim=True)
    others = torch.log1p(-p.scatter(-1, largest, 0.0))
    return others.scatter(-1, largest, rivals - scores.logsumexp(-1, keepdim=True))
