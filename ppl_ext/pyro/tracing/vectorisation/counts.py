"""Counts of classes whose totals differ from row to row."""

import torch

__all__ = ["draw_counts"]


def draw_counts(total: torch.Tensor, probs: torch.Tensor) -> torch.Tensor:
    r"""Draw from multinomial distributions, each with a total of its own.

    Class by class, each count is binomial given the ones before it:

    .. math:: n_k \mid n_{<k} \sim \text{Binomial}(n - \sum_{j<k} n_j, \; p_k / \sum_{j \ge k} p_j)

    Args:
        total: How many are drawn, shape [...].
        probs: Probabilities of the classes, shape [..., class].

    Returns:
        The counts, shape [..., class].

    References:
        Davis (1993), The computer generation of multinomial random variates, Computational
        Statistics & Data Analysis 16(2).
    """
    left = total.to(probs.dtype).expand(probs.shape[:-1])
    # What the classes from each one on have together; the last has all that is left.
    ahead = probs.flip(-1).cumsum(-1).flip(-1)
    counts = []
    for k in range(probs.shape[-1] - 1):
        share = torch.where(ahead[..., k] > 0, probs[..., k] / ahead[..., k], 0.0).clamp(max=1.0)
        counts.append(torch.binomial(left, share))
        left = left - counts[-1]
    return torch.stack([*counts, left], dim=-1)
