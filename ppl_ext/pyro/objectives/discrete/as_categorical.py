"""A discrete distribution read as a choice among classes."""

from dataclasses import dataclass
from typing import Any

import torch
from pyro.distributions import MaskedDistribution
from pyro.distributions.util import scale_and_mask

from ppl_ext.pyro.distributions.one_hot import OneHotCategoricalStraightThrough
from ppl_ext.pyro.gumbel.logits import widen
from ppl_ext.pyro.objectives.mismatch import strip

__all__ = ["Choice", "read_choice"]

_ONE_HOT = (OneHotCategoricalStraightThrough, torch.distributions.OneHotCategorical)


@dataclass(frozen=True)
class Choice:
    """Logits, and the form in which a site spells its class.

    Args:
        logits: Logits ``(*batch, *variable, class)`` over the whole batch of the site.
        one_hot: Whether values are one-hot vectors; otherwise they are numbers of classes.
        event_ndim: Number of axes of variables: those within one event.
        mask: The mask around the distribution, None without one.
    """

    logits: torch.Tensor
    one_hot: bool
    event_ndim: int
    mask: Any

    def to_value(self, z: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """Spell one-hot vectors as the site does."""
        return z.to(like.dtype) if self.one_hot else z.argmax(-1).to(like.dtype)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Log-probability of a value without the mask; linear in a one-hot one."""
        if not self.one_hot:
            classes = torch.arange(self.logits.shape[-1], device=value.device)
            value = (value.unsqueeze(-1) == classes).to(self.log_probs.dtype)
        return self._sum(_times(value, self.log_probs))

    def expected_log_prob(self, other: "Choice") -> torch.Tensor:
        """Mean of the log-probability under the probabilities of another choice, masked."""
        return self._masked(self._sum(_times(other.log_probs.exp(), self.log_probs)))

    def masked_log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Log-probability of a value, masked."""
        return self._masked(self.log_prob(value))

    @property
    def log_probs(self) -> torch.Tensor:
        """Normalised logits, in float32 at least."""
        return widen(self.logits).log_softmax(-1)

    def _sum(self, terms):
        return terms.sum(tuple(range(-1 - self.event_ndim, 0)))

    def _masked(self, log_prob):
        return scale_and_mask(log_prob, mask=self.mask)


def read_choice(fn: Any) -> Choice | None:
    """Read a distribution as a choice; None where it is none, or a mask stands within an event."""
    mask, inner = None, fn
    if isinstance(fn, MaskedDistribution):
        mask, inner = fn._mask, fn.base_dist
    base, part = strip(inner), inner
    while part is not base:
        if isinstance(part, MaskedDistribution):
            return None
        part = part.base_dist
    shape, event = fn.batch_shape + fn.event_shape, len(fn.event_shape)
    if isinstance(base, _ONE_HOT):
        return Choice(base.logits.expand(shape), True, event - 1, mask)
    if isinstance(base, torch.distributions.Categorical):
        return Choice(base.logits.expand(*shape, base.logits.shape[-1]), False, event, mask)
    if isinstance(base, torch.distributions.Bernoulli):
        logits = base.logits.expand(shape)
        return Choice(torch.stack([torch.zeros_like(logits), logits], -1), False, event, mask)
    return None


def _times(weights, log_probs):
    """Products in which a class that is ruled out adds nothing, unless it occurs all the same.

    Linear in the weights, for estimators differentiate at the classes that do not occur.
    """
    possible = log_probs > -torch.inf
    products = weights * torch.where(possible, log_probs, 0.0)
    return torch.where(possible | (weights == 0), products, -torch.inf)
