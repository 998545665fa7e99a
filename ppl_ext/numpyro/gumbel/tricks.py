"""Perturb logits with Gumbel noise: the largest, the largest few, and the noise given it."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import stop_gradient

from ppl_ext.estimators.arguments import refuse, refuse_index
from ppl_ext.numpyro.gumbel.logits import checking, widen
from ppl_ext.numpyro.gumbel.noise import gumbel_noise

__all__ = ["gumbel_max", "gumbel_top_k", "posterior_gumbels"]


def gumbel_max(
    rng_key: jax.Array, logits: jax.Array, *, exact: bool = False
) -> tuple[jax.Array, jax.Array]:
    r"""Draw a class and its perturbed logit by the Gumbel-max trick.

    .. math:: I = \arg\max_k (\theta_k + G_k) \sim \mathrm{Categorical}(\theta), \quad
        \max_k (\theta_k + G_k) \sim \mathrm{Gumbel}(\log \textstyle\sum_k e^{\theta_k})

    The two are independent. Scores are float32 or wider whatever the logits are. Where only the
    class is wanted, ``sample_categorical`` is many times faster.

    Args:
        rng_key: Random key.
        logits: Unnormalised log-probabilities with shape ``(*batch, class)``; ``-inf`` rules a
            class out.
        exact: Whether the noise has 64 random bits, as in ``gumbel_noise``: for classes of
            probability below 1e-8.

    Returns:
        The maximum ``(*batch,)`` in float32 or wider, and its index ``(*batch,)``.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> maximum, index = gumbel_max(
        ...     jax.random.key(0), jnp.broadcast_to(jnp.array([0.0, 1.0, -jnp.inf]), (10_000, 3))
        ... )
        >>> int((index == 2).sum()), round(float(maximum.mean()), 1)
        (0, 1.9)

    References:
        Maddison, Tarlow, Minka (2014), A* Sampling, NeurIPS, arXiv:1411.0030.
    """
    perturbed = _perturb(rng_key, logits, exact)
    return perturbed.max(-1), perturbed.argmax(-1)


def gumbel_top_k(
    rng_key: jax.Array, logits: jax.Array, k: int, *, exact: bool = False
) -> tuple[jax.Array, jax.Array]:
    r"""Draw ``k`` different classes, in order, by the Gumbel-top-k trick.

    The ``k`` largest perturbed logits belong to a sample without replacement: the first class is
    drawn by its probability, the next by its share of the rest, and so on (Plackett-Luce).

    Args:
        rng_key: Random key.
        logits: Unnormalised log-probabilities with shape ``(*batch, class)``; ``-inf`` rules a
            class out. Where fewer than ``k`` are possible, the last perturbed logits are
            ``-inf`` and their classes mean nothing.
        k: How many to draw.
        exact: Whether the noise has 64 random bits, as in ``gumbel_noise``.

    Returns:
        The perturbed logits ``(*batch, k)``, falling, and the classes ``(*batch, k)``.

    Raises:
        ValueError: ``k`` is not between 1 and the number of classes.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> perturbed, classes = gumbel_top_k(jax.random.key(0), jnp.array([0.0, 1.0, 2.0]), 3)
        >>> sorted(classes.tolist()), bool((jnp.diff(perturbed) < 0).all())
        ([0, 1, 2], True)

    References:
        Kool, van Hoof, Welling (2019), Stochastic Beams and Where to Find Them, ICML,
        arXiv:1903.06059.
    """
    if not 1 <= k <= logits.shape[-1]:
        raise refuse(
            "gumbel_top_k",
            f"k is {k}",
            f"a whole number from 1 to the {logits.shape[-1]} classes of the logits",
            "gumbel_top_k(rng_key, logits, min(k, logits.shape[-1])).",
        )
    perturbed, classes = jax.lax.top_k(_perturb(rng_key, logits, exact), k)
    return perturbed, classes


def posterior_gumbels(
    rng_key: jax.Array,
    logits: jax.Array,
    index: jax.Array,
    sample_shape: tuple[int, ...] = (),
    *,
    exact: bool = False,
) -> jax.Array:
    r"""Draw perturbed logits given which class is the largest.

    .. math:: z_i = \log Z - \log E_i, \quad
        z_k = -\log\left(e^{-z_i} + e^{-\theta_k} E_k\right), \quad E_k \sim \mathrm{Exp}(1)

    With ``index`` drawn from the logits these are ``logits + noise`` again. Gradients flow to
    the logits; for Rao-Blackwellised estimators stop them at the result.

    Args:
        rng_key: Random key.
        logits: Unnormalised log-probabilities with shape ``(*batch, class)``; ``-inf`` rules a
            class out, and may not be the index.
        index: The largest class, with shape ``(*batch,)``.
        sample_shape: Draws of each member of the batch, which come first.
        exact: Whether the noise has 64 random bits, as in ``gumbel_noise``.

    Returns:
        Perturbed logits ``(*sample_shape, *batch, class)`` in float32 or wider, the one at
        ``index`` strictly the largest.

    Raises:
        ValueError: An index that is no class, or of a class that is ruled out.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> perturbed = posterior_gumbels(
        ...     jax.random.key(0), jnp.array([0.0, 9.0]), jnp.array(0), (1000,)
        ... )
        >>> int(perturbed.argmax(-1).max())
        0

    References:
        Maddison, Tarlow, Minka (2014), A* Sampling, NeurIPS, arXiv:1411.0030.
    """
    logits = widen(logits)
    shape = jnp.broadcast_shapes(logits.shape[:-1], jnp.shape(index))
    if checking(None, logits) and checking(None, index):
        _check_index(np.broadcast_to(logits, (*shape, logits.shape[-1])), index)
    shape = (*sample_shape, *shape, logits.shape[-1])
    noise = gumbel_noise(rng_key, shape, dtype=logits.dtype, exact=exact)
    chosen = jax.nn.one_hot(index, shape[-1], dtype=bool)
    # Around log Z, so that an offset of the logits costs no digits.
    centre = jax.nn.logsumexp(logits, -1, keepdims=True)
    top = jnp.sum(noise, -1, keepdims=True, where=chosen)
    possible = logits > -jnp.inf
    others = jnp.where(possible, logits - centre, 0.0) + noise
    below = jnp.where(possible, -jnp.logaddexp(-others, -top) + centre, -jnp.inf)
    # A rounding may not lift another class to the top.
    top = top + centre
    ceiling = jnp.nextafter(stop_gradient(top), -jnp.inf)
    return jnp.where(chosen, top, jnp.minimum(below, ceiling))


def _check_index(logits, index):
    chosen = np.asarray(index)[..., None] == np.arange(logits.shape[-1])
    if not (chosen & (logits > -np.inf)).any(-1).all():
        raise refuse_index("sample_categorical(rng_key, logits)", logits.shape[-1])


def _perturb(rng_key, logits, exact):
    logits = widen(logits)
    return logits + gumbel_noise(rng_key, logits.shape, dtype=logits.dtype, exact=exact)
