"""Jacobians of the relaxed draw, averaged over the noise that a one-hot draw leaves open."""

import math

import torch

BLOCK = 2**17  # elements worked on at a time: what stays in the cache of a core


def average_product(log_probs, index, vector, temperature, num_draws):
    r"""Multiply a vector by the mean Jacobian of the relaxed draw given the class drawn.

    Given the class, its perturbed logit is ``-log E``, and the others are
    ``-log(E + E_k / p_k)``, with exponential ``E``: relative to the largest, the weights of the
    softmax are ``(1 + E_k / (p_k E)) ** (-1 / temperature)``. Draws are made one after the other,
    here in the backward pass, and only their sum is kept.

    Args:
        log_probs: Log-probabilities, with a shape that broadcasts against the vector's.
        index: The class drawn, ``(*draws, *batch)``.
        vector: What to multiply, ``(*draws, *batch, class)``.
        temperature: Positive.
        num_draws: Number of draws of the noise.

    Returns:
        The product, of the vector's shape.
    """
    size = vector.shape[-1]
    arguments = [
        each.expand(*index.shape, each.shape[-1]).reshape(-1, each.shape[-1])
        for each in (log_probs, index.unsqueeze(-1), vector)
    ]
    rows = index.numel() if torch.compiler.is_compiling() else max(1, BLOCK // size)
    blocks = zip(*(each.split(rows) for each in arguments), strict=True)
    products = [_average(*block, temperature, num_draws) for block in blocks]
    return torch.cat(products).reshape(vector.shape)


def _average(log_probs, chosen, vector, temperature, num_draws):
    fixed = log_probs.detach()
    weights = (-fixed).exp()
    # A second derivative passes through the logits and holds the noise.
    live = torch.is_grad_enabled() and log_probs.requires_grad
    ratio = _ratio_to_itself(log_probs, chosen) / temperature if live else None
    total = torch.zeros_like(vector)
    for _ in range(num_draws):
        top = _exponential((*vector.shape[:-1], 1), vector)
        below = (_exponential(vector.shape, vector) * (weights / top)).log1p_()
        soft = below.mul_(-1 / temperature).exp_().scatter(-1, chosen, 1.0)
        if live:
            soft = soft * ratio.exp()
        norm = soft.sum(-1, keepdim=True)
        mean = (soft * vector).sum(-1, keepdim=True) / norm
        total = total + (vector - mean) * soft / norm
    return total / (temperature * num_draws)


def _ratio_to_itself(log_probs, chosen):
    """Return zeros that have the derivative of the log-ratios to the class drawn."""
    possible = log_probs > -torch.inf
    finite = torch.where(possible, log_probs, 0.0)
    ratio = finite - finite.gather(-1, chosen)
    return ratio - ratio.detach()


def _exponential(shape, like):
    """Draw minus log-uniforms, never zero; two halves of a random word for two of them."""
    count = math.prod(shape)
    limits = torch.iinfo(torch.int64)
    words = torch.randint(
        limits.min, limits.max, ((count + 1) // 2,), dtype=torch.int64, device=like.device
    )
    halves = words.view(torch.int32)[:count].view(shape).to(like.dtype)
    uniform = halves.mul_(2.0**-32).add_(0.5).clamp(2.0**-33, 1 - 2.0**-24)
    return uniform.log_().neg_()
