"""Draw classes exactly and fast, and pass gradients straight through the choice."""

import math

import torch

from ppl_ext.pyro.gumbel.logits import checking, read_class_logits, widen
from ppl_ext.pyro.gumbel.noise import plain_tensors
from ppl_ext.pyro.gumbel.row_blocks import pieces
from ppl_ext.pyro.gumbel.tricks import gumbel_max

__all__ = ["sample_categorical", "straight_through"]


def sample_categorical(
    logits: torch.Tensor, sample_shape: tuple[int, ...] = (), *, exact: bool = False
) -> torch.Tensor:
    r"""Draw classes from logits, exactly and many times faster than the host.

    The classes are cut into blocks of about :math:`\sqrt K`; a block is drawn by its total, then
    a class within the block, both by the Gumbel-max trick. Noise is needed for
    :math:`2 \sqrt K` numbers in place of :math:`K`, and rare classes keep their relative
    probabilities, which sums over all the classes would round away.

    Args:
        logits: Unnormalised log-probabilities with shape ``(*batch, class)``; ``-inf`` rules a
            class out.
        sample_shape: Draws of each member of the batch, which come first.
        exact: Whether the noise has 64 random bits, as in ``gumbel_noise``: for classes of
            probability below 1e-8.

    Returns:
        Indices of classes with shape ``(*sample_shape, *batch)``.

    Raises:
        ValueError: The logits are no floating-point numbers, NaN or +inf, or all -inf in a row.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> index = sample_categorical(torch.tensor([0.25, 0.75]).log(), (100_000,))
        >>> round(float(index.double().mean()), 2)
        0.75
    """
    logits = read_class_logits("sample_categorical", None, logits, False)
    # The largest of a row tells all, and is found faster than a fault.
    if checking(None) and not bool(torch.isfinite(logits.amax(-1)).all()):
        read_class_logits("sample_categorical", None, logits, True)
    return draw_class(logits, sample_shape, exact=exact)


def draw_class(logits, sample_shape, *, exact=False) -> torch.Tensor:
    """Draw from logits that have been checked."""
    logits = widen(logits).detach()
    *batch, size = logits.shape
    width = _block_width(size)
    blocks = -(-size // width)
    if blocks * width > size:
        logits = torch.nn.functional.pad(logits, (0, blocks * width - size), value=-torch.inf)
    table = logits.unflatten(-1, (blocks, width))
    totals = _log_totals(logits, blocks, width)
    _, block = gumbel_max(totals.expand(*sample_shape, *batch, blocks), exact=exact)
    table = table.expand(*sample_shape, *batch, blocks, width)
    rows = block[..., None, None].expand(*block.shape, 1, width)
    _, member = gumbel_max(table.gather(-2, rows).squeeze(-2), exact=exact)
    return block * width + member


def straight_through(hard: torch.Tensor, soft: torch.Tensor) -> torch.Tensor:
    """Return the hard value with the gradient of the soft one.

    The value is ``hard`` to the last bit: the soft value cancels exactly. The gradient is biased
    unless what follows is linear.

    Args:
        hard: Value, such as a one-hot draw.
        soft: Finite stand-in of the same shape, whose gradient is taken.

    Returns:
        ``hard``, differentiable as ``soft``.

    Example:
        >>> import torch
        >>> logits = torch.zeros(2, requires_grad=True)
        >>> value = straight_through(torch.tensor([0.0, 1.0]), logits.softmax(-1))
        >>> value[1].backward()
        >>> value.tolist(), logits.grad.tolist()
        ([0.0, 1.0], [-0.25, 0.25])

    References:
        Bengio, Leonard, Courville (2013), Estimating or Propagating Gradients Through Stochastic
        Neurons for Conditional Computation, arXiv:1308.3432.
    """
    return (soft - soft.detach()) + hard.detach()


def _log_totals(logits, blocks, width):
    """Return the logarithms of the blocks' shares, but for a constant of the row."""
    if plain_tensors():
        totals = logits.new_empty(*logits.shape[:-1], blocks)
        for row, out in pieces(logits.shape, logits, totals):
            out.copy_(_totals(row, blocks, width))
    else:
        totals = _totals(logits, blocks, width)
    return totals.log_()


def _totals(logits, blocks, width):
    shares = (logits - logits.amax(-1, keepdim=True)).exp_()
    return shares.unflatten(-1, (blocks, width)).sum(-1)


def _block_width(size: int) -> int:
    """Choose how many classes share a block: a divisor of their number if one is near its root."""
    root = math.isqrt(size - 1) + 1
    return next((width for width in range(root, 2 * root) if size % width == 0), root)
