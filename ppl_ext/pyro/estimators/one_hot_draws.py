"""One-hot draws of several variables: their probabilities, and gradients through them."""

import torch

from ppl_ext.pyro.gumbel.categorical_draws import draw_class
from ppl_ext.pyro.gumbel.logits import check_classes, read_logits, widen
from ppl_ext.pyro.gumbel.noise import plain_tensors


def draw_one_hot(logits, sample_shape=()):
    """Draw one-hot values ``(*sample_shape, *logits.shape)`` without gradients."""
    return to_one_hot(draw_class(logits, sample_shape), logits)


def to_one_hot(index, logits):
    """Turn classes into one-hot vectors of the logits' type."""
    classes = torch.arange(logits.shape[-1], device=logits.device)
    return (index.unsqueeze(-1) == classes).to(logits.dtype)


def log_prob_of(z, logits):
    """Return the log-probability of the one-hot draws, the variables summed: ``(*draws, *batch)``.

    A class that is ruled out adds nothing, to the gradient neither.
    """
    log_probs = widen(logits).log_softmax(-1)
    return torch.where(z > 0, log_probs, 0.0).sum((-2, -1))


def score(weight, log_prob):
    """Return zero, with the derivative of the log-probability times the weight."""
    return weight.detach() * (log_prob - log_prob.detach())


def draw_through(called, logits, sample_shape, multiply):
    """Draw one-hot values; ``multiply(logits, index, vector)`` is their derivative."""
    logits = read_path_logits(called, logits)
    index = draw_class(logits, tuple(sample_shape))
    return _Through.apply(logits, index, multiply)


def read_path_logits(called, logits):
    """Refuse what are no logits by type and shape; the values are the caller's care."""
    logits = read_logits(called, None, logits, False)
    check_classes(called, logits, False)
    return logits


def softmax_product(probs, vector):
    """Multiply a vector by the Jacobian of the softmax, which is symmetric."""
    product = probs * vector
    return product - probs * product.sum(-1, keepdim=True)


class _Through(torch.autograd.Function):
    """One-hot draws ``(*draws, *batch, class)`` of logits ``(*batch, class)``.

    Everything is worked out again in the backward pass, in operations that have derivatives of
    their own: nothing but logits and classes is kept.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(logits, index, multiply):
        zeros = logits.new_zeros(*index.shape, logits.shape[-1])
        # In place where it can be: zeros that nothing writes to take no memory yet.
        place = zeros.scatter_ if plain_tensors() else zeros.scatter
        return place(-1, index.unsqueeze(-1), 1.0)

    @staticmethod
    def setup_context(ctx, inputs, output):
        logits, index, ctx.multiply = inputs
        ctx.save_for_backward(logits, index)

    @staticmethod
    def backward(ctx, slope):
        logits, index = ctx.saved_tensors
        product = ctx.multiply(widen(logits), index, widen(slope))
        return product.sum_to_size(logits.shape).to(logits.dtype), None, None
