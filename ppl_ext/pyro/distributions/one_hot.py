"""Straight-through distributions: one-hot draws with the gradient of something soft."""

import torch
from torch.distributions import constraints

from ppl_ext.estimators.arguments import refuse_estimator
from ppl_ext.pyro.distributions.mixed_precision import (
    AbstractMixedPrecision,
    register_divergence,
)
from ppl_ext.pyro.distributions.relaxed import RelaxedOneHotCategorical
from ppl_ext.pyro.distributions.remembered_scores import remember
from ppl_ext.pyro.estimators.estimator import AbstractPathEstimator
from ppl_ext.pyro.estimators.relaxation import GumbelSoftmax
from ppl_ext.pyro.estimators.straight_through import StraightThrough
from ppl_ext.pyro.gumbel.categorical_draws import draw_class, straight_through
from ppl_ext.pyro.gumbel.logits import read_class_logits
from ppl_ext.pyro.gumbel.simplex import logits_vector, softmax

__all__ = ["OneHotCategoricalStraightThrough", "RelaxedOneHotCategoricalStraightThrough"]


class OneHotCategoricalStraightThrough(AbstractMixedPrecision):
    r"""One-hot categorical whose draws carry a gradient.

    .. math:: z = \text{one-hot}(I), \quad \partial z := \partial\, \mathrm{softmax}(\theta),
        \quad \log q(z) = \sum_k z_k \log \mathrm{softmax}_k(\theta)

    The log-probability is that of the categorical, which is what belongs into an evidence lower
    bound. The gradient through the draws is that of the estimator: as above by default, which is
    biased unless what follows is linear. ``ReinMax`` costs no more and is right to second order.

    Args:
        probs: Unnormalised probabilities ``(*batch, class)``, or
        logits: Unnormalised log-probabilities ``(*batch, class)``; ``-inf`` rules a class out.
        validate_args: Whether arguments and values are checked; by default as in the host.
        estimator: How gradients pass through the draws; ``StraightThrough()`` if None.

    Raises:
        ValueError: No logits or NaN, integers, a row without a possible class, or an estimator
            whose draws are not one-hot.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> categorical = OneHotCategoricalStraightThrough(probs=torch.tensor([0.5, 0.5, 0.0]))
        >>> z = categorical.rsample()
        >>> float(z.sum()), round(float(categorical.log_prob(z)), 4)
        (1.0, -0.6931)

    References:
        Bengio, Leonard, Courville (2013), Estimating or Propagating Gradients Through Stochastic
        Neurons for Conditional Computation, arXiv:1308.3432.
    """

    arg_constraints = {"logits": logits_vector}  # noqa: RUF012
    support = constraints.one_hot
    has_rsample = True
    has_enumerate_support = True

    def __init__(
        self,
        probs: torch.Tensor | None = None,
        logits: torch.Tensor | None = None,
        validate_args: bool | None = None,
        *,
        estimator: AbstractPathEstimator | None = None,
    ) -> None:
        self.estimator = _read_estimator(type(self).__name__, estimator)
        self.logits = read_class_logits(type(self).__name__, probs, logits, validate_args)
        shape = self.logits.shape
        super().__init__(shape[:-1], shape[-1:], validate_args=validate_args)

    @property
    def probs(self):
        """Probabilities of the classes."""
        return self.logits.softmax(-1)

    def sample(self, sample_shape=()):
        """Draw without gradients."""
        with torch.no_grad():
            return _one_hot(draw_class(self.logits, tuple(sample_shape)), self.logits)

    def rsample(self, sample_shape=()):
        """Draw with the estimator's gradient."""
        return self.estimator.sample(self.logits, tuple(sample_shape))

    def log_prob(self, value):
        """Return the log-probability of a one-hot value; linear in it."""
        log_probs = self.logits.log_softmax(-1)
        possible = log_probs > -torch.inf
        # Multiplied by a finite number, that the gradient of a draw is one, too.
        terms = value * torch.where(possible, log_probs, 0.0)
        terms = torch.where(possible | (value == 0), terms, -torch.inf)
        return terms.sum(-1)

    def entropy(self):
        """Return the entropy of the categorical."""
        log_probs = self.logits.log_softmax(-1)
        terms = log_probs.exp() * torch.where(log_probs > -torch.inf, log_probs, 0.0)
        return -terms.sum(-1)

    def enumerate_support(self, expand=True):
        """Return all one-hot vectors, the first axis counting the classes."""
        size = self.event_shape[0]
        values = torch.eye(size, dtype=self.logits.dtype, device=self.logits.device)
        values = values.view(size, *(1,) * len(self.batch_shape), size)
        return values.expand(size, *self.batch_shape, size) if expand else values

    @property
    def mean(self):
        """The probabilities."""
        return self.probs

    @property
    def variance(self):
        """The variances of the coordinates."""
        return self.probs * (1 - self.probs)

    @property
    def mode(self):
        """The most probable class, one-hot."""
        return _one_hot(self.logits.argmax(-1), self.logits)


class RelaxedOneHotCategoricalStraightThrough(RelaxedOneHotCategorical):
    r"""Relaxed categorical whose draws are made one-hot, with the gradient of the relaxed draw.

    .. math:: z = \text{one-hot}(\arg\max_k x_k), \quad \partial z := \partial x

    As in the host, the log-density of a draw is the relaxed one at ``x``, known for as long as
    the same tensor lives; after any operation on the draw it is the limit at the corner, ``inf``
    or ``-inf``, never a plausible number. Not for evidence lower bounds with a discrete prior:
    use ``OneHotCategoricalStraightThrough``.

    Args:
        temperature: Positive, with a shape that broadcasts against ``(*batch,)``; the classes
            are no batch.
        probs: Unnormalised probabilities ``(*batch, class)``, or
        logits: Unnormalised log-probabilities ``(*batch, class)``; ``-inf`` rules a class out.
        validate_args: Whether arguments and values are checked; by default as in the host.

    Raises:
        ValueError: A temperature that is not positive or does not broadcast, no logits or NaN,
            integers, a row without a possible class.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> relaxed = RelaxedOneHotCategoricalStraightThrough(0.5, logits=torch.zeros(3))
        >>> hard, soft = relaxed.rsample_with_soft()
        >>> float(hard.max()), bool(relaxed.log_prob(hard) == relaxed.log_prob(soft))
        (1.0, True)

    References:
        Jang, Gu, Poole (2017), Categorical Reparameterization with Gumbel-Softmax, ICLR,
        arXiv:1611.01144.
    """

    def rsample(self, sample_shape=()):
        """Draw one-hot values with the gradient of the relaxed ones."""
        return self.rsample_with_soft(sample_shape)[0]

    def rsample_with_soft(
        self, sample_shape: tuple[int, ...] = ()
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw one-hot values together with the relaxed values that they come from."""
        scores = self._scores(sample_shape)
        soft = softmax(scores)
        hard = straight_through(_one_hot(scores.argmax(-1), soft), soft)
        return remember(hard, scores), remember(soft, scores)


def _read_estimator(called, estimator):
    if estimator is None:
        return StraightThrough()
    relaxed = isinstance(estimator, GumbelSoftmax)
    if relaxed or not isinstance(estimator, AbstractPathEstimator):
        raise refuse_estimator(called, estimator, relaxed)
    return estimator


def _one_hot(index, like):
    zeros = torch.zeros(*index.shape, like.shape[-1], dtype=like.dtype, device=like.device)
    return zeros.scatter(-1, index.unsqueeze(-1), 1.0)


@register_divergence(OneHotCategoricalStraightThrough)
def _kl_one_hot(p, q):
    p_log, q_log = (each.logits.log_softmax(-1) for each in (p, q))
    possible = p_log > -torch.inf
    terms = torch.where(possible, p_log, 0.0) - torch.where(possible, q_log, 0.0)
    return (p_log.exp() * terms).sum(-1)
