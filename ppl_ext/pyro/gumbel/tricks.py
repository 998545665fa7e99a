"""Perturb logits with Gumbel noise: the largest, the largest few, and the noise given it."""

import torch

from ppl_ext.estimators.arguments import refuse, refuse_index
from ppl_ext.pyro.gumbel.logits import checking, widen
from ppl_ext.pyro.gumbel.noise import gumbel_noise, plain_tensors

__all__ = ["gumbel_max", "gumbel_top_k", "posterior_gumbels"]


def gumbel_max(logits: torch.Tensor, *, exact: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Draw a class and its perturbed logit by the Gumbel-max trick.

    .. math:: I = \arg\max_k (\theta_k + G_k) \sim \mathrm{Categorical}(\theta), \quad
        \max_k (\theta_k + G_k) \sim \mathrm{Gumbel}(\log \textstyle\sum_k e^{\theta_k})

    The two are independent. Scores are float32 or wider whatever the logits are. Where only the
    class is wanted, ``sample_categorical`` is many times faster.

    Args:
        logits: Unnormalised log-probabilities with shape ``(*batch, class)``; ``-inf`` rules a
            class out.
        exact: Whether the noise has 64 random bits, as in ``gumbel_noise``: for classes of
            probability below 1e-8.

    Returns:
        The maximum ``(*batch,)`` in float32 or wider, and its index ``(*batch,)``.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> maximum, index = gumbel_max(torch.tensor([0.0, 1.0, -torch.inf]).expand(10_000, 3))
        >>> torch.bincount(index, minlength=3).tolist()[2], round(float(maximum.mean()), 1)
        (0, 1.9)

    References:
        Maddison, Tarlow, Minka (2014), A* Sampling, NeurIPS, arXiv:1411.0030.
    """
    maximum, index = _perturb(logits, exact).max(-1)
    return maximum, index


def gumbel_top_k(
    logits: torch.Tensor, k: int, *, exact: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Draw ``k`` different classes, in order, by the Gumbel-top-k trick.

    The ``k`` largest perturbed logits belong to a sample without replacement: the first class is
    drawn by its probability, the next by its share of the rest, and so on (Plackett-Luce).

    Args:
        logits: Unnormalised log-probabilities with shape ``(*batch, class)``; ``-inf`` rules a
            class out. Where fewer than ``k`` are possible, the last perturbed logits are
            ``-inf`` and their classes mean nothing.
        k: How many to draw.
        exact: Whether the noise has 64 random bits, as in ``gumbel_noise``.

    Returns:
        The perturbed logits ``(*batch, k)``, falling, and the classes ``(*batch, k)``.

    Raises:
        ValueError: ``k`` is not between 1 and the number of classes.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> perturbed, classes = gumbel_top_k(torch.tensor([0.0, 1.0, 2.0]), 3)
        >>> sorted(classes.tolist()), bool((perturbed.diff() < 0).all())
        ([0, 1, 2], True)

    References:
        Kool, van Hoof, Welling (2019), Stochastic Beams and Where to Find Them, ICML,
        arXiv:1903.06059.
    """
    if not 1 <= k <= logits.shape[-1]:
        raise refuse(
            "gumbel_top_k",
            f"k is {k}",
            f"a whole number from 1 to the {logits.shape[-1]} classes of the logits",
            "gumbel_top_k(logits, min(k, logits.shape[-1])).",
        )
    perturbed, classes = _perturb(logits, exact).topk(k)
    return perturbed, classes


def posterior_gumbels(
    logits: torch.Tensor,
    index: torch.Tensor,
    sample_shape: tuple[int, ...] = (),
    *,
    exact: bool = False,
) -> torch.Tensor:
    r"""Draw perturbed logits given which class is the largest.

    .. math:: z_i = \log Z - \log E_i, \quad
        z_k = -\log\left(e^{-z_i} + e^{-\theta_k} E_k\right), \quad E_k \sim \mathrm{Exp}(1)

    With ``index`` drawn from the logits these are ``logits + noise`` again. Gradients flow to
    the logits; for Rao-Blackwellised estimators detach the result.

    Args:
        logits: Unnormalised log-probabilities with shape ``(*batch, class)``; ``-inf`` rules a
            class out, and may not be the index.
        index: The largest class, with shape ``(*batch,)``.
        sample_shape: Draws of each member of the batch, which come first.
        exact: Whether the noise has 64 random bits, as in ``gumbel_noise``.

    Returns:
        Perturbed logits ``(*sample_shape, *batch, class)`` in float32 or wider, the one at
        ``index`` strictly the largest.

    Raises:
        ValueError: An index that is no class, or of a class that is ruled out.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> perturbed = posterior_gumbels(torch.tensor([0.0, 9.0]), torch.tensor(0), (1000,))
        >>> int(perturbed.argmax(-1).max())
        0

    References:
        Maddison, Tarlow, Minka (2014), A* Sampling, NeurIPS, arXiv:1411.0030.
    """
    logits = widen(logits)
    shape = torch.broadcast_shapes(logits.shape[:-1], index.shape)
    if checking(None) and plain_tensors():
        _check_index(logits.expand(*shape, logits.shape[-1]), index.expand(shape))
    noise = gumbel_noise(
        (*sample_shape, *shape, logits.shape[-1]),
        dtype=logits.dtype,
        exact=exact,
        device=logits.device,
    )
    index = index.expand(shape).unsqueeze(-1)
    # Around log Z, so that an offset of the logits costs no digits.
    centre = logits.logsumexp(-1, keepdim=True)
    chosen = index.expand(*noise.shape[:-1], 1)
    top = noise.gather(-1, chosen)
    possible = logits > -torch.inf
    others = torch.where(possible, logits - centre, 0.0) + noise
    below = torch.where(possible, -torch.logaddexp(-others, -top) + centre, -torch.inf)
    # A rounding may not lift another class to the top.
    top = top + centre
    ceiling = torch.nextafter(top.detach(), torch.full_like(top, -torch.inf))
    return torch.minimum(below, ceiling).scatter(-1, chosen, top)


def _check_index(logits, index):
    count = logits.shape[-1]
    # One look for both: what is no class is taken for one that is ruled out.
    padded = torch.nn.functional.pad(logits.detach(), (1, 1), value=-torch.inf)
    chosen = padded.gather(-1, (index.clamp(-1, count) + 1).unsqueeze(-1))
    if not bool((chosen > -torch.inf).all()):
        raise refuse_index("sample_categorical(logits)", count)


def _perturb(logits, exact):
    logits = widen(logits)
    noise = gumbel_noise(logits.shape, dtype=logits.dtype, exact=exact, device=logits.device)
    return logits + noise
