"""Relaxed categorical distributions: on the log-simplex, and on the simplex."""

import torch
from torch.distributions import constraints

from ppl_ext.estimators.arguments import refuse_unequal_temperatures
from ppl_ext.pyro.distributions.mixed_precision import (
    HALF,
    AbstractMixedPrecision,
    register_divergence,
)
from ppl_ext.pyro.distributions.remembered_scores import recall, remember
from ppl_ext.pyro.gumbel import concrete_density
from ppl_ext.pyro.gumbel.logits import checking, read_class_logits, read_temperature
from ppl_ext.pyro.gumbel.noise import gumbel_noise, plain_tensors
from ppl_ext.pyro.gumbel.row_blocks import draw_relaxed, log_density_of_draw
from ppl_ext.pyro.gumbel.simplex import (
    log_simplex,
    log_softmax,
    logits_vector,
    rounded_simplex,
    softmax,
)

__all__ = ["ExpRelaxedOneHotCategorical", "RelaxedOneHotCategorical"]


class AbstractRelaxedCategorical(AbstractMixedPrecision):
    """Temperature, logits and perturbed scores, which the relaxed categoricals share."""

    arg_constraints = {"temperature": constraints.positive, "logits": logits_vector}  # noqa: RUF012
    has_rsample = True

    def __init__(
        self,
        temperature: torch.Tensor | float,
        probs: torch.Tensor | None = None,
        logits: torch.Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        name = type(self).__name__
        logits = read_class_logits(name, probs, logits, validate_args)
        temperature = read_temperature(name, temperature, logits, logits.shape[:-1], validate_args)
        batch_shape = torch.broadcast_shapes(temperature.shape, logits.shape[:-1])
        self.temperature = temperature.expand(batch_shape)
        self.logits = logits.expand(*batch_shape, logits.shape[-1])
        # Where nothing was checked, classes may be ruled out.
        self._all_possible = checking(validate_args) and bool(logits.amin() > -torch.inf)
        super().__init__(batch_shape, logits.shape[-1:], validate_args=validate_args)

    @property
    def probs(self):
        """Probabilities of the classes: of each being the largest, at every temperature."""
        return self.logits.softmax(-1)

    def _scores(self, sample_shape):
        """Draw ``(logits + noise) / temperature``."""
        logits, shape = self.logits, self._extended_shape(torch.Size(sample_shape))
        noise = gumbel_noise(shape, dtype=logits.dtype, device=logits.device)
        temperature = self.temperature.unsqueeze(-1)
        if self._all_possible or not temperature.requires_grad:
            return (logits + noise) / temperature
        # The gradient of -inf / temperature would not be a number.
        possible = logits > -torch.inf
        scores = (torch.where(possible, logits, 0.0) + noise) / temperature
        return torch.where(possible, scores, -torch.inf)

    def _draw(self, sample_shape):
        """Draw perturbed scores and their softmax."""
        if self._all_possible and plain_tensors():
            shape = self._extended_shape(torch.Size(sample_shape))
            return draw_relaxed(self.logits, self.temperature, shape)
        scores = self._scores(sample_shape)
        return scores, softmax(scores)

    def _log_density(self, scores):
        """Return the log-density of the log-ratios, whatever the scores are."""
        return concrete_density.log_density(self.logits, self.temperature, scores)


class ExpRelaxedOneHotCategorical(AbstractRelaxedCategorical):
    r"""The relaxed categorical (Concrete) distribution on the log-simplex.

    .. math:: y = \log \mathrm{softmax}\left((\theta + G) / \tau\right), \quad
        \log q(y) = \log \Gamma(K) + (K - 1) \log \tau
        + \sum_k \log \mathrm{softmax}_k(\theta - \tau y)

    A density of the log-ratios ``y_k - y_K``. Prefer this site to ``RelaxedOneHotCategorical``
    and use ``y.exp()``: nothing underflows at low temperatures. Do not set its density against
    a discrete prior: relaxed samples go with the divergence of the categoricals.

    Args:
        temperature: Positive, with a shape that broadcasts against ``(*batch,)``; the classes
            are no batch. Samples near the corners below ``1 / (K - 1)``.
        probs: Unnormalised probabilities ``(*batch, class)``, or
        logits: Unnormalised log-probabilities ``(*batch, class)``; ``-inf`` rules a class out,
            and the density is then that of the face.
        validate_args: Whether arguments and values are checked; by default as in the host.

    Raises:
        ValueError: A temperature that is not positive or does not broadcast, no logits or NaN,
            integers, a row without a possible class.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> relaxed = ExpRelaxedOneHotCategorical(0.01, logits=torch.zeros(3))
        >>> y = relaxed.rsample((1000,))
        >>> bool(relaxed.log_prob(y).isfinite().all())
        True
        >>> relaxed.entropy().shape
        torch.Size([])

    References:
        Maddison, Mnih, Teh (2017), The Concrete Distribution, ICLR, arXiv:1611.00712.
        Jang, Gu, Poole (2017), Categorical Reparameterization with Gumbel-Softmax, ICLR,
        arXiv:1611.01144.
    """

    support = log_simplex

    def rsample(self, sample_shape=()):
        """Draw with gradients to logits and temperature."""
        return log_softmax(self._scores(sample_shape))

    def log_prob(self, value):
        """Return the log-density of the log-ratios at a value on the log-simplex."""
        return self._log_density(value)

    def entropy(self):
        """Return the entropy of the log-ratios: a constant of the temperature alone."""
        return concrete_density.entropy(self.logits, self.temperature)


class RelaxedOneHotCategorical(AbstractRelaxedCategorical):
    r"""The relaxed categorical (Concrete) distribution on the simplex.

    .. math:: x = \mathrm{softmax}\left((\theta + G) / \tau\right), \quad
        \log q(x) = \log q(y) - \sum_k y_k, \quad y = \log x

    A density of the first ``K - 1`` coordinates, which underflow: at temperature 0.05 nearly every
    draw of ten unlike classes has an exact zero. Its scores are remembered for as long as the same
    tensor lives, and its own density is exact; of a copy, of what an operation made of it, and of
    other values with exact zeros the density is a limit, ``inf`` or ``-inf``. Where values have to
    stand for themselves, take ``ExpRelaxedOneHotCategorical``.

    Args:
        temperature: Positive, with a shape that broadcasts against ``(*batch,)``; the classes
            are no batch.
        probs: Unnormalised probabilities ``(*batch, class)``, or
        logits: Unnormalised log-probabilities ``(*batch, class)``; ``-inf`` rules a class out,
            and the density is then that of the face.
        validate_args: Whether arguments and values are checked; by default as in the host.

    Raises:
        ValueError: A temperature that is not positive or does not broadcast, no logits or NaN,
            integers, a row without a possible class.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> relaxed = RelaxedOneHotCategorical(0.05, logits=torch.zeros(10))
        >>> x = relaxed.rsample((1000,))
        >>> bool((x == 0).any()), bool(relaxed.log_prob(x).isfinite().all())
        (True, True)

    References:
        Maddison, Mnih, Teh (2017), The Concrete Distribution, ICLR, arXiv:1611.00712.
    """

    @property
    def support(self):
        """The simplex; in half precision up to its rounding."""
        return rounded_simplex if self._precision in HALF else constraints.simplex

    def rsample(self, sample_shape=()):
        """Draw with gradients to logits and temperature."""
        scores, x = self._draw(sample_shape)
        return remember(x, scores)

    def log_prob(self, value):
        """Return the log-density at a value on the simplex."""
        scores = recall(value)
        if scores is not None and self._all_possible and plain_tensors():
            return log_density_of_draw(self.logits, self.temperature, scores)
        y = concrete_density.log_of(value) if scores is None else scores.log_softmax(-1)
        density = self._log_density(y if scores is None else scores)
        possible = self.logits > -torch.inf
        zero = possible & (y == -torch.inf)
        jacobian = torch.where(possible & ~zero, y, 0.0).sum(-1)
        count, zeros = possible.sum(-1), zero.sum(-1)
        limit = torch.where(zeros > self.temperature * (count - zeros), torch.inf, -torch.inf)
        return torch.where((zeros > 0) & _on_face(possible, y), limit, density - jacobian)


def check_temperatures(p, q):
    """Refuse two that are not equally warm."""
    if not bool((p.temperature == q.temperature).all()):
        raise refuse_unequal_temperatures(type(p).__name__, "p.rsample((1000,))")


def _on_face(possible, y):
    """Say where the classes that are ruled out are zero, as they must be."""
    return (possible | (y == -torch.inf)).all(-1)


@register_divergence(ExpRelaxedOneHotCategorical, RelaxedOneHotCategorical)
def _kl_relaxed(p, q):
    check_temperatures(p, q)
    return concrete_density.divergence(p.logits, q.logits)
