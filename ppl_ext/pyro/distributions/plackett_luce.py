"""Draws without replacement, in order: the Plackett-Luce distribution."""

import torch
from torch.distributions import constraints

from ppl_ext.estimators.arguments import check_size
from ppl_ext.pyro.distributions.mixed_precision import (
    AbstractMixedPrecision,
)
from ppl_ext.pyro.gumbel import plackett_luce_probs
from ppl_ext.pyro.gumbel.logits import count_possible, read_class_logits
from ppl_ext.pyro.gumbel.simplex import logits_vector
from ppl_ext.pyro.gumbel.tricks import gumbel_top_k

__all__ = ["PlackettLuce"]


class _DistinctClasses(constraints.Constraint):
    """Lists of different class indices."""

    is_discrete = True
    event_dim = 1

    def __init__(self, classes):
        self.classes = classes

    def check(self, value):
        known = (value % 1 == 0) & (value >= 0) & (value < self.classes)
        return known.all(-1) & (value.sort(-1).values.diff(dim=-1) > 0).all(-1)


class PlackettLuce(AbstractMixedPrecision):
    r"""Ordered draws of ``k`` different classes: by probability, then by share of the rest.

    .. math:: P(i_1, \dots, i_k) = \prod_{r=1}^k
        \frac{e^{\theta_{i_r}}}{\sum_{j \notin \{i_1, \dots, i_{r-1}\}} e^{\theta_j}}

    A value is a list of class indices, the first drawn first. The probability of a set in
    whatever order and the probability of each class to be among the ``k`` are exact. There is no
    gradient through the draws: use ``relaxed_top_k``, or an estimator with ``log_prob``.

    Args:
        logits: Unnormalised log-probabilities ``(*batch, class)``; ``-inf`` rules a class out.
        k: How many to draw, at least 1 and at most the number of possible classes.
        validate_args: Whether arguments and values are checked; by default as in the host.

    Raises:
        ValueError: ``k`` is no whole number from 1 to the number of possible classes, no logits
            or NaN, integers, a row without a possible class.

    Example:
        >>> import torch
        >>> ranks = PlackettLuce(torch.tensor([0.5, 0.3, 0.2]).log(), k=2)
        >>> round(float(ranks.log_prob(torch.tensor([0, 2])).exp()), 4)  # 0.5 * 0.2 / 0.5
        0.2
        >>> round(float(ranks.log_prob_unordered(torch.tensor([0, 2])).exp()), 4)
        0.325
        >>> round(float(ranks.inclusion_probs.sum()), 4)
        2.0

    References:
        Plackett (1975), The Analysis of Permutations, Applied Statistics 24,
        doi:10.2307/2346567.
        Kool, van Hoof, Welling (2019), Stochastic Beams and Where to Find Them, ICML,
        arXiv:1903.06059.
    """

    arg_constraints = {"logits": logits_vector}  # noqa: RUF012

    def __init__(self, logits: torch.Tensor, k: int, validate_args: bool | None = None) -> None:
        self.logits = read_class_logits("PlackettLuce", None, logits, validate_args)
        self.k = k
        check_size("PlackettLuce", k, count_possible(self.logits, validate_args))
        super().__init__(self.logits.shape[:-1], torch.Size([k]), validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self):
        """Lists of different class indices."""
        return _DistinctClasses(self.logits.shape[-1])

    def sample(self, sample_shape=()):
        """Draw lists of classes by the Gumbel-top-k trick."""
        with torch.no_grad():
            logits = self.logits.expand(*sample_shape, *self.logits.shape)
            return gumbel_top_k(logits, self.k)[1]

    def log_prob(self, value):
        """Return the log-probability of a list in its order."""
        return self._score(plackett_luce_probs.log_prob_ordered, value)

    def log_prob_unordered(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log-probability of the set that a list holds: of any order of it."""
        return self._score(plackett_luce_probs.log_prob_of_set, value)

    @property
    def inclusion_probs(self):
        """Probability of each class to be among the ``k``, with shape ``(*batch, class)``."""
        return plackett_luce_probs.inclusion_probs(self.logits, self.k)

    @property
    def mode(self):
        """The most probable list: the classes by their logits."""
        return self.logits.topk(self.k).indices

    def _score(self, function, value):
        shape = torch.broadcast_shapes(value.shape[:-1], self.batch_shape)
        logits = self.logits.expand(*shape, self.logits.shape[-1])
        sound = self.support.check(value)
        index = torch.where(sound.unsqueeze(-1), value, torch.arange(self.k, device=value.device))
        result = function(logits, index.long().expand(*shape, self.k))
        return torch.where(sound, result, -torch.inf)
