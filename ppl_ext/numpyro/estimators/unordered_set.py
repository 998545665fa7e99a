"""The estimator from a set of different draws, whose order is averaged out."""

from dataclasses import dataclass, field
from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import stop_gradient

from ppl_ext.estimators.arguments import refuse
from ppl_ext.numpyro.estimators.estimator import AbstractEstimator
from ppl_ext.numpyro.estimators.one_hot_draws import log_prob_of, score, to_one_hot
from ppl_ext.numpyro.estimators.without_replacement import draw_different
from ppl_ext.numpyro.gumbel.logits import widen

__all__ = ["UnorderedSet"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class UnorderedSet(AbstractEstimator):
    r"""Score function of a set of different draws, each with the others as its baseline.

    .. math:: \sum_{s \in S} \nabla p(s) \, R(S, s) \Bigl(f(s)
        - \sum_{s' \in S} p(s') R^{\setminus s}(S, s') f(s')\Bigr), \quad
        R(S, s) = \frac{P^{\setminus s}(S \setminus s)}{P(S)}

    The draws are of all variables together, without replacement. ``R`` corrects for it: the
    probabilities of the set and of what it is without a member, over all orders. Unbiased, and
    exact where the set holds all there is; for likely draws better than as many independent
    ones. Not for more than a few draws: all subsets are weighed.

    Args:
        num_draws: Size of the set, from 2 to 10.

    Raises:
        ValueError: A size out of these limits, or beyond the number of outcomes.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> f = lambda z: z @ jnp.array([0.0, 1.0, 4.0])
        >>> surrogate = lambda logits: UnorderedSet(3).surrogate(jax.random.key(0), f, logits)
        >>> gradient = jax.jit(jax.grad(surrogate))(jnp.zeros(3))  # of three classes: exact
        >>> [round(9 * each) for each in gradient.tolist()]
        [-5, -2, 7]

    References:
        Kool, van Hoof, Welling (2020), Estimating Gradients for Discrete Random Variables by
        Sampling without Replacement, ICLR, arXiv:2002.06043.
    """

    num_draws: int = field(default=4, metadata={"static": True})

    def __post_init__(self) -> None:
        if self.num_draws not in range(2, 11):
            raise refuse(
                "UnorderedSet",
                f"num_draws is {self.num_draws!r}",
                "a size from 2 to 10, whose subsets can all be weighed",
                "UnorderedSet(num_draws=4), or for more draws LeaveOneOut(num_draws).",
            )

    def evaluations(self, num_variables: int, num_classes: int) -> int:
        """Count the evaluations of the function that one estimate costs: one a draw."""
        return self.num_draws

    def _surrogate(self, rng_key, f, logits):
        variables, classes = logits.shape[-2:]
        if self.num_draws > classes**variables:
            raise refuse(
                "UnorderedSet",
                f"num_draws is {self.num_draws}, and {variables} variable(s) of {classes} "
                f"classes have {classes**variables} outcomes",
                "no more different draws than there are",
                f"UnorderedSet(num_draws={classes**variables}), or LocalExpectation().",
            )
        index, alive, rest = draw_different(rng_key, widen(logits), self.num_draws)
        # Where there are fewer outcomes than draws, the first stands in, and weighs nothing.
        z = to_one_hot(jnp.where(alive[..., None], index, index[0]), logits)
        log_prob = log_prob_of(z, logits)
        log_p = jnp.where(alive, stop_gradient(log_prob), -jnp.inf)
        first, second = leave_out(log_p, rest)
        values = f(z)
        baseline = (second * stop_gradient(values)).sum(1)
        return (first * values).sum(0) + score(first * (values - baseline), log_prob).sum(0)


def leave_out(log_p, rest):
    """Weigh the members of the set: ``p(s) R(S, s)``, and ``p(s') R(S, s')`` without ``s``.

    With ``P(U)`` the probability that the draws from ``U`` and from what is not in the set begin
    with all of ``U``, in any order, which one is drawn first tells it from smaller sets. All terms
    are positive, and no digits are lost however rare the draws are.

    Args:
        log_p: Log-probabilities of the members, with shape ``(member, *batch)``.
        rest: Logarithm of what is not in the set, with shape ``(*batch,)``.

    Returns:
        The weights ``(member, *batch)`` and ``(left out, member, *batch)``.
    """
    count = len(log_p)
    log_sets = [jnp.zeros((1, *rest.shape), log_p.dtype)]
    for size in range(1, count + 1):
        members, without = _list_subsets(count, size)
        available = jnp.logaddexp(jax.nn.logsumexp(log_p[members], 1), rest)
        total = jax.nn.logsumexp(log_p[members] + log_sets[-1][without], 1) - available
        # Without a rest the set is certain.
        log_sets.append(jnp.where(rest > -jnp.inf, total, 0.0))
    # Of the sets that lack one member, the one that lacks the last comes first.
    alone = log_sets[-2][::-1]
    first = jnp.exp(log_p + alone - log_sets[-1])
    second = jnp.exp(log_p + log_sets[-3][_list_pairs(count)] - alone[:, None])
    own = np.eye(count, dtype=bool).reshape(count, count, *[1] * rest.ndim)
    return first, jnp.where(own, jnp.exp(log_p), second)


def _list_subsets(count, size):
    """List the subsets of a size, and where each of them stands without each of its members."""
    smaller = {
        chosen: number for number, chosen in enumerate(combinations(range(count), size - 1))
    }
    subsets = list(combinations(range(count), size))
    without = [[smaller[each[:n] + each[n + 1 :]] for n in range(size)] for each in subsets]
    return np.array(subsets), np.array(without)


def _list_pairs(count):
    """Say where the subset stands that lacks both of two members; on the diagonal, anywhere."""
    places = {frozenset(each): n for n, each in enumerate(combinations(range(count), count - 2))}
    whole = frozenset(range(count))
    return np.array([[places.get(whole - {s, t}, 0) for t in whole] for s in whole])
