"""A discrete distribution read as a choice among classes."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from ppl_ext.numpyro.distributions.one_hot import OneHotCategoricalStraightThrough
from ppl_ext.numpyro.gumbel.logits import widen
from ppl_ext.numpyro.objectives.mismatch import strip

__all__ = ["Choice", "read_choice"]


@dataclass(frozen=True)
class Choice:
    """Logits, and the form in which a site spells its class.

    Args:
        logits: Logits ``(*batch, *variable, class)`` over the whole batch of the site.
        one_hot: Whether values are one-hot vectors; otherwise they are numbers of classes.
        event_ndim: Number of axes of variables: those within one event.
        mask: The mask around the distribution, None without one.
    """

    logits: jax.Array
    one_hot: bool
    event_ndim: int
    mask: Any

    def to_value(self, z: jax.Array, like: jax.Array) -> jax.Array:
        """Spell one-hot vectors as the site does."""
        return z.astype(like.dtype) if self.one_hot else z.argmax(-1).astype(like.dtype)

    def log_prob(self, value: jax.Array) -> jax.Array:
        """Log-probability of a value without the mask; linear in a one-hot one."""
        z = value if self.one_hot else jax.nn.one_hot(value, self.logits.shape[-1])
        return self._sum(_times(z, self.log_probs))

    def expected_log_prob(self, other: "Choice") -> jax.Array:
        """Mean of the log-probability under the probabilities of another choice, masked."""
        mean = self._sum(_times(jnp.exp(other.log_probs), self.log_probs))
        return mean if self.mask is None else jnp.where(self.mask, mean, 0.0)

    def masked_log_prob(self, value: jax.Array) -> jax.Array:
        """Log-probability of a value, masked."""
        log_prob = self.log_prob(value)
        return log_prob if self.mask is None else jnp.where(self.mask, log_prob, 0.0)

    @property
    def log_probs(self) -> jax.Array:
        """Normalised logits, in float32 at least."""
        return jax.nn.log_softmax(widen(self.logits), -1)

    def _sum(self, terms):
        return terms.sum(tuple(range(-1 - self.event_ndim, 0)))


def read_choice(fn: dist.Distribution) -> Choice | None:
    """Read a distribution as a choice; None where it is none, or a mask stands within an event."""
    mask, inner = None, fn
    if isinstance(fn, dist.MaskedDistribution):
        mask, inner = fn._mask, fn.base_dist
    base, part = strip(inner), inner
    while part is not base:
        if isinstance(part, dist.MaskedDistribution):
            return None
        part = part.base_dist
    batch, event = fn.batch_shape, fn.event_shape
    if isinstance(base, OneHotCategoricalStraightThrough):
        logits = jnp.broadcast_to(base.logits, batch + event)
        return Choice(logits, True, len(event) - 1, mask)
    if isinstance(base, (dist.CategoricalLogits, dist.CategoricalProbs)):
        logits = jnp.broadcast_to(base.logits, (*batch, *event, base.logits.shape[-1]))
        return Choice(logits, False, len(event), mask)
    if isinstance(base, (dist.BernoulliLogits, dist.BernoulliProbs)):
        logits = jnp.broadcast_to(base.logits, batch + event)
        return Choice(jnp.stack([jnp.zeros_like(logits), logits], -1), False, len(event), mask)
    return None


def _times(weights, log_probs):
    """Products in which a class that is ruled out adds nothing, unless it occurs all the same.

    Linear in the weights, for estimators differentiate at the classes that do not occur.
    """
    possible = log_probs > -jnp.inf
    products = weights * jnp.where(possible, log_probs, 0.0)
    return jnp.where(possible | (weights == 0), products, -jnp.inf)
