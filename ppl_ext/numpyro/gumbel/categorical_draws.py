"""Draw classes exactly and fast, and pass gradients straight through the choice."""

import math

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from ppl_ext.numpyro.gumbel.logits import read_class_logits, widen
from ppl_ext.numpyro.gumbel.tricks import gumbel_max

__all__ = ["sample_categorical", "straight_through"]


def sample_categorical(
    rng_key: jax.Array,
    logits: jax.Array,
    sample_shape: tuple[int, ...] = (),
    *,
    exact: bool = False,
) -> jax.Array:
    r"""Draw classes from logits, exactly and many times faster than the host.

    The classes are cut into blocks of about :math:`\sqrt K`; a block is drawn by its total, then
    a class within the block, both by the Gumbel-max trick. Noise is needed for
    :math:`2 \sqrt K` numbers in place of :math:`K`, and rare classes keep their relative
    probabilities, which sums over all the classes would round away.

    Args:
        rng_key: Random key.
        logits: Unnormalised log-probabilities with shape ``(*batch, class)``; ``-inf`` rules a
            class out.
        sample_shape: Draws of each member of the batch, which come first.
        exact: Whether the noise has 64 random bits, as in ``gumbel_noise``: for classes of
            probability below 1e-8.

    Returns:
        Indices of classes with shape ``(*sample_shape, *batch)``.

    Raises:
        ValueError: The logits are no floating-point numbers, NaN or +inf, or all -inf in a row.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> logits = jnp.log(jnp.array([0.25, 0.75]))
        >>> index = sample_categorical(jax.random.key(0), logits, (100_000,))
        >>> round(float(index.mean()), 2)
        0.75
    """
    logits = read_class_logits("sample_categorical", None, logits, None)
    return draw_class(rng_key, logits, sample_shape, exact=exact)


def draw_class(rng_key, logits, sample_shape, *, exact=False) -> jax.Array:
    """Draw from logits that have been checked."""
    logits = stop_gradient(widen(logits))
    *batch, size = logits.shape
    width = _block_width(size)
    blocks = -(-size // width)
    padding = [(0, 0)] * len(batch) + [(0, blocks * width - size)]
    table = jnp.pad(logits, padding, constant_values=-jnp.inf).reshape(*batch, blocks, width)
    block_key, member_key = jax.random.split(rng_key)
    top = logits.max(-1)[..., None, None]
    totals = jnp.log(jnp.exp(table - top).sum(-1))
    totals = jnp.broadcast_to(totals, (*sample_shape, *batch, blocks))
    _, block = gumbel_max(block_key, totals, exact=exact)
    table = jnp.broadcast_to(table, (*sample_shape, *batch, blocks, width))
    rows = jnp.take_along_axis(table, block[..., None, None], -2).squeeze(-2)
    _, member = gumbel_max(member_key, rows, exact=exact)
    return block * width + member


def straight_through(hard: jax.Array, soft: jax.Array) -> jax.Array:
    """Return the hard value with the gradient of the soft one.

    The value is ``hard`` to the last bit: the soft value cancels exactly. The gradient is biased
    unless what follows is linear.

    Args:
        hard: Value, such as a one-hot draw.
        soft: Finite stand-in of the same shape, whose gradient is taken.

    Returns:
        ``hard``, differentiable as ``soft``.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> hard = jnp.array([0.0, 1.0])
        >>> value = lambda logits: straight_through(hard, jax.nn.softmax(logits))
        >>> value(jnp.zeros(2)).tolist(), jax.jacobian(value)(jnp.zeros(2))[1].tolist()
        ([0.0, 1.0], [-0.25, 0.25])

    References:
        Bengio, Leonard, Courville (2013), Estimating or Propagating Gradients Through Stochastic
        Neurons for Conditional Computation, arXiv:1308.3432.
    """
    return (soft - stop_gradient(soft)) + stop_gradient(hard)


def _block_width(size: int) -> int:
    """Choose how many classes share a block: a divisor of their number if one is near its root."""
    root = math.isqrt(size - 1) + 1
    return next((width for width in range(root, 2 * root) if size % width == 0), root)
