"""Relaxed permutations, and the permutations nearest to them."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import stop_gradient

from ppl_ext.numpyro.gumbel.arguments import (
    checking,
    read_logits,
    read_temperature,
    refuse,
    widen,
)
from ppl_ext.numpyro.gumbel.categorical_draws import straight_through
from ppl_ext.numpyro.gumbel.noise import gumbel_noise

__all__ = ["best_permutation", "gumbel_sinkhorn"]


def gumbel_sinkhorn(
    rng_key: jax.Array,
    scores: jax.Array,
    temperature: jax.Array | float,
    sample_shape: tuple[int, ...] = (),
    *,
    iterations: int = 50,
    hard: bool = False,
) -> jax.Array:
    r"""Draw relaxed permutations: perturbed scores, made doubly stochastic.

    .. math:: X = \lim_{n \to \infty} (\text{columns} \circ \text{rows})^n
        \left(e^{(\Theta + G) / \tau}\right)

    As the temperature falls, the draws become the permutations with the largest perturbed totals.
    Neither relaxed nor hard draws have a known density, so this is a function and no
    distribution. At low temperatures the iterations converge slowly: the columns always sum to
    one, the rows only in the limit.

    Args:
        rng_key: Random key.
        scores: Log-affinities ``(*batch, row, column)``, square and finite.
        temperature: Positive, with a shape that broadcasts against ``(*batch,)``.
        sample_shape: Draws of each member of the batch, which come first.
        iterations: How often rows and columns are made to sum to one.
        hard: Whether the values are those of ``best_permutation`` at the perturbed scores, with
            the gradient of the relaxed ones.

    Returns:
        Matrices ``(*sample_shape, *batch, row, column)``.

    Raises:
        ValueError: Scores that are not square, not finite, or integers; a temperature that is not
            positive or does not broadcast; less than one iteration.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> soft = gumbel_sinkhorn(jax.random.key(0), 5.0 * jnp.eye(3), 0.5)
        >>> [round(total, 4) for total in soft.sum(-2).tolist()]  # columns
        [1.0, 1.0, 1.0]
        >>> hard = gumbel_sinkhorn(jax.random.key(0), 20.0 * jnp.eye(3), 0.5, hard=True)
        >>> hard.argmax(-1).tolist()
        [0, 1, 2]

    References:
        Mena, Belanger, Linderman, Snoek (2018), Learning Latent Permutations with Gumbel-Sinkhorn
        Networks, ICLR, arXiv:1802.08665.
    """
    called = "gumbel_sinkhorn"
    scores = _read_scores(called, scores)
    if iterations < 1:
        raise refuse(
            called,
            f"iterations is {iterations}",
            "at least 1",
            "Leave it out, or raise it at low temperatures.",
        )
    temperature = read_temperature(called, temperature, scores, scores.shape[:-2], None)
    wide = widen(scores)
    batch_shape = jnp.broadcast_shapes(temperature.shape, scores.shape[:-2])
    shape = (*sample_shape, *batch_shape, *scores.shape[-2:])
    perturbed = wide + gumbel_noise(rng_key, shape, dtype=wide.dtype)

    def normalize(log_matrix, _):
        return jax.nn.log_softmax(jax.nn.log_softmax(log_matrix, -1), -2), None

    start = perturbed / temperature[..., None, None]
    log_matrix, _ = jax.lax.scan(normalize, start, length=iterations)
    soft = jnp.exp(log_matrix).astype(scores.dtype)
    if not hard:
        return soft
    return straight_through(best_permutation(perturbed).astype(soft.dtype), soft)


def best_permutation(scores: jax.Array) -> jax.Array:
    r"""Find the permutation with the largest total score.

    .. math:: \arg\max_P \textstyle\sum_{ij} P_{ij} \Theta_{ij}

    By SciPy's ``linear_sum_assignment`` on the host, with the cube of the size as its cost. There
    is no gradient.

    Args:
        scores: Scores ``(*batch, row, column)``, square and finite.

    Returns:
        Zeros and ones of that shape, a single one in each row and column.

    Raises:
        ValueError: Scores that are not square, not finite, or integers.

    Example:
        >>> import jax.numpy as jnp
        >>> best_permutation(jnp.array([[1.0, 2.0], [0.0, 3.0]])).tolist()
        [[1.0, 0.0], [0.0, 1.0]]

    References:
        Crouse (2016), On Implementing 2D Rectangular Assignment Algorithms, IEEE Transactions on
        Aerospace and Electronic Systems 52, doi:10.1109/TAES.2016.140952.
    """
    scores = _read_scores("best_permutation", scores)
    shape = jax.ShapeDtypeStruct(scores.shape, widen(scores).dtype)
    given = stop_gradient(widen(scores))
    matrices = jax.pure_callback(_assign, shape, given, vmap_method="broadcast_all")
    return matrices.astype(scores.dtype)


def _assign(tables):
    from scipy.optimize import linear_sum_assignment

    tables = np.asarray(tables)
    matrices = np.zeros_like(tables)
    for where in np.ndindex(tables.shape[:-2]):
        matrices[where][linear_sum_assignment(tables[where], maximize=True)] = 1.0
    return matrices


def _read_scores(called, scores):
    scores = read_logits(called, None, scores, None)
    if len(scores.shape) < 2 or scores.shape[-1] != scores.shape[-2] or not scores.shape[-1]:
        raise refuse(
            called,
            f"scores have the shape {tuple(scores.shape)}",
            "square matrices (*batch, row, column)",
            "Pad what is not square: a place for each thing, and a thing for each place.",
        )
    if checking(None, scores) and not np.isfinite(np.asarray(scores).astype(float)).all():
        raise refuse(
            called,
            "scores contain -inf",
            "finite numbers",
            "Rule a pair out by a low score: scores.clip(-1e4).",
        )
    return scores
