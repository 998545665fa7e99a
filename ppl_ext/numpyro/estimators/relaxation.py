"""Relaxed draws, and one-hot draws with the gradient of relaxed ones."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from ppl_ext.estimators.arguments import refuse
from ppl_ext.numpyro.estimators.estimator import AbstractPathEstimator, register_estimator
from ppl_ext.numpyro.estimators.integrand import check_temperature
from ppl_ext.numpyro.estimators.one_hot_draws import read_path_logits, to_one_hot
from ppl_ext.numpyro.gumbel.categorical_draws import draw_class, straight_through
from ppl_ext.numpyro.gumbel.logits import widen
from ppl_ext.numpyro.gumbel.noise import gumbel_noise

__all__ = ["GappedStraightThrough", "GumbelSoftmax", "StraightThroughGumbelSoftmax"]


@register_estimator
@dataclass(frozen=True)
class GumbelSoftmax(AbstractPathEstimator):
    r"""Relaxed draws: the function is evaluated inside the simplex, not at its corners.

    .. math:: x = \mathrm{softmax}\left((\theta + G) / \tau\right)

    Value and gradient are both those of the relaxed problem: of less bias as the temperature
    falls, and of more variance. Not where ``f`` has a meaning at one-hot values alone.

    Args:
        temperature: Positive; usual are 0.3 to 1.

    Raises:
        ValueError: A temperature that is not positive.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> x = GumbelSoftmax(0.5).sample(jax.random.key(0), jnp.zeros(3), (1000,))
        >>> round(float(x.sum(-1).mean()), 4), bool((x.max(-1) < 1).any())
        (1.0, True)

    References:
        Jang, Gu, Poole (2017), Categorical Reparameterization with Gumbel-Softmax, ICLR,
        arXiv:1611.01144.
    """

    temperature: float = 0.5

    def __post_init__(self) -> None:
        check_temperature("GumbelSoftmax", self.temperature)

    def sample(
        self, rng_key: jax.Array, logits: jax.Array, sample_shape: tuple[int, ...] = ()
    ) -> jax.Array:
        """Draw relaxed values that carry the estimator's gradient."""
        logits = read_path_logits("GumbelSoftmax", logits)
        scores = _perturb(rng_key, logits, sample_shape)
        return jax.nn.softmax(scores / self.temperature, -1).astype(logits.dtype)


@register_estimator
@dataclass(frozen=True)
class StraightThroughGumbelSoftmax(AbstractPathEstimator):
    r"""One-hot draws with the gradient of the relaxed draws they come from.

    .. math:: z = \text{one-hot}\left(\arg\max_k (\theta_k + G_k)\right), \quad
        \partial z := \partial\, \mathrm{softmax}\left((\theta + G) / \tau\right)

    The usual hard Gumbel-softmax. ``GumbelRao`` has the same bias with less variance, and
    ``ReinMax`` mostly less of both.

    Args:
        temperature: Positive; usual are 0.3 to 1.

    Raises:
        ValueError: A temperature that is not positive.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> draw = lambda logits: StraightThroughGumbelSoftmax(0.5).sample(
        ...     jax.random.key(0), logits
        ... )
        >>> first = jax.value_and_grad(lambda logits: draw(logits)[0])
        >>> value, slope = jax.jit(first)(jnp.zeros(3))
        >>> float(value) in (0.0, 1.0), abs(float(slope.sum())) < 1e-6
        (True, True)

    References:
        Jang, Gu, Poole (2017), Categorical Reparameterization with Gumbel-Softmax, ICLR,
        arXiv:1611.01144.
    """

    temperature: float = 0.5

    def __post_init__(self) -> None:
        check_temperature("StraightThroughGumbelSoftmax", self.temperature)

    def sample(
        self, rng_key: jax.Array, logits: jax.Array, sample_shape: tuple[int, ...] = ()
    ) -> jax.Array:
        """Draw one-hot values that carry the estimator's gradient."""
        logits = read_path_logits("StraightThroughGumbelSoftmax", logits)
        scores = _perturb(rng_key, logits, sample_shape)
        # The largest score, not the largest of the softmax, where rounding makes ties.
        hard = to_one_hot(scores.argmax(-1), logits)
        return straight_through(
            hard, jax.nn.softmax(scores / self.temperature, -1).astype(logits.dtype)
        )


@register_estimator
@dataclass(frozen=True)
class GappedStraightThrough(AbstractPathEstimator):
    r"""One-hot draws with the gradient of a softmax that the draw is made to lead.

    .. math:: \partial z := \partial\, \mathrm{softmax}\left((\theta + m(z)) / \tau\right)

    The shift :math:`m` has no gradient: it lifts the class drawn to the largest logit and lowers
    others that come within the gap of it. Of little variance, as no noise beyond the draw is
    spent; its bias is that of ``StraightThroughGumbelSoftmax`` or smaller. Not for temperatures
    far below 1, where the gradient vanishes.

    Args:
        temperature: Positive.
        gap: Least lead of the class drawn, or None for one that fits its probability,
            :math:`-\log(1 - p) / p`.

    Raises:
        ValueError: A temperature that is not positive, or a negative gap.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> first = lambda logits: GappedStraightThrough(gap=1.0).sample(
        ...     jax.random.key(0), logits
        ... )[0]
        >>> slope = jax.jit(jax.grad(first))(jnp.zeros(2))
        >>> lead = jax.nn.sigmoid(1.0)  # of the class drawn, whichever it is
        >>> bool(jnp.isclose(slope[0], lead * (1 - lead)))
        True

    References:
        Fan, Chi, Rudnicky, Ramadge (2022), Training Discrete Deep Generative Models via Gapped
        Straight-Through Estimator, ICML, arXiv:2206.07235.
    """

    temperature: float = 1.0
    gap: float | None = 1.0

    def __post_init__(self) -> None:
        check_temperature("GappedStraightThrough", self.temperature)
        if self.gap is not None and not self.gap >= 0:
            raise refuse(
                "GappedStraightThrough",
                f"gap is {self.gap}",
                "a number that is not negative, or None",
                "GappedStraightThrough(gap=1.0).",
            )

    def sample(
        self, rng_key: jax.Array, logits: jax.Array, sample_shape: tuple[int, ...] = ()
    ) -> jax.Array:
        """Draw one-hot values that carry the estimator's gradient."""
        logits = read_path_logits("GappedStraightThrough", logits)
        index = draw_class(rng_key, logits, tuple(sample_shape))
        hard = to_one_hot(index, logits)
        wide = widen(logits)
        fixed = stop_gradient(wide)
        top = fixed.max(-1, keepdims=True)
        gap = self.gap
        if gap is None:
            log_probs = jax.nn.log_softmax(fixed, -1)
            log_prob = jnp.sum(log_probs, -1, keepdims=True, where=hard > 0)
            tiny = float(jnp.finfo(fixed.dtype).eps)
            prob = jnp.clip(jnp.exp(log_prob), tiny, 1 - tiny)
            gap = -jnp.log1p(-prob) / prob
        chosen = hard > 0
        shift = jnp.where(chosen, top - fixed, -jnp.maximum(fixed - top + gap, 0))
        soft = jax.nn.softmax((wide + shift) / self.temperature, -1).astype(logits.dtype)
        return straight_through(hard, soft)


def _perturb(rng_key, logits, sample_shape):
    wide = widen(logits)
    return wide + gumbel_noise(rng_key, (*sample_shape, *wide.shape), dtype=wide.dtype)
