"""One-hot draws of several variables, their log-probabilities, and the score function."""

import torch

from ppl_ext.pyro.gumbel.categorical_draws import draw_class
from ppl_ext.pyro.gumbel.logits import widen


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
