"""The expectation over one variable exactly, over the others by a draw."""

from dataclasses import dataclass

import torch

from ppl_ext.pyro.estimators.estimator import AbstractEstimator
from ppl_ext.pyro.estimators.one_hot_draws import draw_one_hot, score
from ppl_ext.pyro.gumbel.logits import widen

__all__ = ["LocalExpectation"]


@dataclass(frozen=True)
class LocalExpectation(AbstractEstimator):
    r"""All classes of each variable in turn, the other variables at their draw.

    .. math:: \nabla_{\theta_i} = \sum_k \nabla \pi_{ik} \, f(z_1, \dots, z_i = k, \dots, z_n)

    Unbiased, exact for a single variable, and of low variance. Not where ``f`` is expensive or
    there are many variables: all classes of all of them are evaluated, at once.

    Example:
        >>> import torch
        >>> logits = torch.zeros(3, requires_grad=True)
        >>> f = lambda z: z @ torch.tensor([0.0, 1.0, 4.0])
        >>> value = LocalExpectation().surrogate(f, logits)
        >>> value.backward()
        >>> round(9 * value.item()), [round(9 * each) for each in logits.grad.tolist()]
        (15, [-5, -2, 7])

    References:
        Titsias, Lazaro-Gredilla (2015), Local Expectation Gradients for Black Box Variational
        Inference, NeurIPS, arXiv:1503.01494.
    """

    def evaluations(self, num_variables: int, num_classes: int) -> int:
        """Count the evaluations of the function that one estimate costs: each class of each."""
        return num_variables * num_classes

    def _surrogate(self, f, logits):
        variables, classes = logits.shape[-2:]
        drawn = draw_one_hot(logits)
        probs = widen(logits).softmax(-1).movedim((-2, -1), (0, 1))
        one = torch.eye(variables, dtype=torch.bool, device=logits.device).reshape(
            variables, 1, *[1] * (logits.dim() - 2), variables, 1
        )
        each = torch.eye(classes, dtype=logits.dtype, device=logits.device).reshape(
            classes, *[1] * (logits.dim() - 2), 1, classes
        )
        possible = probs > 0
        # A class that is ruled out gives way to the draw: f need not be defined there.
        values = f(torch.where(one & possible[..., None, None], each, drawn))
        return (probs.detach() * values).sum(1).mean(0) + score(values, probs).sum((0, 1))
