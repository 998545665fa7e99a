"""Relaxed permutations, and the permutations nearest to them."""

import numpy as np
import torch

from ppl_ext.pyro.gumbel.arguments import (
    checking,
    read_logits,
    read_temperature,
    refuse,
    widen,
)
from ppl_ext.pyro.gumbel.categorical_draws import straight_through
from ppl_ext.pyro.gumbel.noise import gumbel_noise

__all__ = ["best_permutation", "gumbel_sinkhorn"]


def gumbel_sinkhorn(
    scores: torch.Tensor,
    temperature: torch.Tensor | float,
    sample_shape: tuple[int, ...] = (),
    *,
    iterations: int = 50,
    hard: bool = False,
) -> torch.Tensor:
    r"""Draw relaxed permutations: perturbed scores, made doubly stochastic.

    .. math:: X = \lim_{n \to \infty} (\text{columns} \circ \text{rows})^n
        \left(e^{(\Theta + G) / \tau}\right)

    As the temperature falls, the draws become the permutations with the largest perturbed totals.
    Neither relaxed nor hard draws have a known density, so this is a function and no
    distribution. At low temperatures the iterations converge slowly: the columns always sum to
    one, the rows only in the limit.

    Args:
        scores: Log-affinities ``(*batch, row, column)``, square and finite.
        temperature: Positive, with a shape that broadcasts against ``(*batch,)``.
        sample_shape: Draws of each member of the batch, which come first.
        iterations: How often rows and columns are made to sum to one.
        hard: Whether the values are those of ``best_permutation`` at the perturbed scores, with
            the gradient of the relaxed ones.

    Returns:
        Matrices ``(*sample_shape, *batch, row, column)``.

    Raises:
        ValueError: Scores that are not square, not finite, or integers; a temperature that is not
            positive or does not broadcast; less than one iteration.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> soft = gumbel_sinkhorn(5.0 * torch.eye(3), 0.5)
        >>> [round(total, 4) for total in soft.sum(-2).tolist()]  # columns
        [1.0, 1.0, 1.0]
        >>> hard = gumbel_sinkhorn(20.0 * torch.eye(3), 0.5, hard=True)
        >>> hard.argmax(-1).tolist()
        [0, 1, 2]

    References:
        Mena, Belanger, Linderman, Snoek (2018), Learning Latent Permutations with Gumbel-Sinkhorn
        Networks, ICLR, arXiv:1802.08665.
    """
    called = "gumbel_sinkhorn"
    scores = _read_scores(called, scores)
    if iterations < 1:
        raise refuse(
            called,
            f"iterations is {iterations}",
            "at least 1",
            "Leave it out, or raise it at low temperatures.",
        )
    temperature = read_temperature(called, temperature, scores, scores.shape[:-2], None)
    wide = widen(scores)
    batch_shape = torch.broadcast_shapes(temperature.shape, scores.shape[:-2])
    shape = (*sample_shape, *batch_shape, *scores.shape[-2:])
    perturbed = wide + gumbel_noise(shape, dtype=wide.dtype, device=wide.device)
    log_matrix = perturbed / temperature[..., None, None]
    for _ in range(iterations):
        log_matrix = log_matrix.log_softmax(-1).log_softmax(-2)
    soft = log_matrix.exp().to(scores.dtype)
    return straight_through(best_permutation(perturbed).to(soft.dtype), soft) if hard else soft


def best_permutation(scores: torch.Tensor) -> torch.Tensor:
    r"""Find the permutation with the largest total score.

    .. math:: \arg\max_P \textstyle\sum_{ij} P_{ij} \Theta_{ij}

    By SciPy's ``linear_sum_assignment`` on the host, with the cube of the size as its cost. There
    is no gradient.

    Args:
        scores: Scores ``(*batch, row, column)``, square and finite.

    Returns:
        Zeros and ones of that shape, a single one in each row and column.

    Raises:
        ValueError: Scores that are not square, not finite, or integers.

    Example:
        >>> import torch
        >>> best_permutation(torch.tensor([[1.0, 2.0], [0.0, 3.0]])).tolist()
        [[1.0, 0.0], [0.0, 1.0]]

    References:
        Crouse (2016), On Implementing 2D Rectangular Assignment Algorithms, IEEE Transactions on
        Aerospace and Electronic Systems 52, doi:10.1109/TAES.2016.140952.
    """
    scores = _read_scores("best_permutation", scores)
    tables = widen(scores).detach().cpu().numpy()
    return torch.as_tensor(_assign(tables), dtype=scores.dtype, device=scores.device)


def _assign(tables):
    from scipy.optimize import linear_sum_assignment

    tables = np.asarray(tables)
    matrices = np.zeros_like(tables)
    for where in np.ndindex(tables.shape[:-2]):
        matrices[where][linear_sum_assignment(tables[where], maximize=True)] = 1.0
    return matrices


def _read_scores(called, scores):
    scores = read_logits(called, None, scores, None)
    if len(scores.shape) < 2 or scores.shape[-1] != scores.shape[-2] or not scores.shape[-1]:
        raise refuse(
            called,
            f"scores have the shape {tuple(scores.shape)}",
            "square matrices (*batch, row, column)",
            "Pad what is not square: a place for each thing, and a thing for each place.",
        )
    if checking(None) and not bool(torch.isfinite(scores).all()):
        raise refuse(
            called,
            "scores contain -inf",
            "finite numbers",
            "Rule a pair out by a low score: scores.clamp(min=-1e4).",
        )
    return scores
