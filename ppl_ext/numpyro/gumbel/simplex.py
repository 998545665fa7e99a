"""Logarithms of the simplex as a support, and the ways to it and from it."""

import math

import jax
import jax.numpy as jnp
from numpyro.distributions import constraints
from numpyro.distributions.transforms import Transform, biject_to

from ppl_ext.numpyro.gumbel.logits import widen

__all__ = ["LogRatioTransform", "log_simplex"]


class _LogSimplex(constraints.Constraint):
    """Vectors whose exponentials sum to one; ``-inf`` is allowed."""

    event_dim = 1

    def __call__(self, x):
        tolerance = 8 * jnp.finfo(x.dtype).eps * (1 + math.log(x.shape[-1]))
        return jnp.abs(jax.nn.logsumexp(widen(x), -1)) <= max(float(tolerance), 1e-6)

    def tree_flatten(self):
        return (), ((), {})

    def eq(self, other, static=False):
        return isinstance(other, type(self))

    def feasible_like(self, prototype):
        return jnp.full_like(prototype, -math.log(jnp.shape(prototype)[-1]))


class _Logits(constraints.Constraint):
    """Vectors below ``+inf``, with ``-inf`` for classes that are ruled out."""

    event_dim = 1

    def __call__(self, x):
        return (x < jnp.inf).all(-1)

    def tree_flatten(self):
        return (), ((), {})

    def eq(self, other, static=False):
        return isinstance(other, type(self))

    def feasible_like(self, prototype):
        return jnp.zeros_like(prototype)


class _RoundedSimplex(type(constraints.simplex)):
    """The simplex in half precision, where sums are rounded."""

    def __call__(self, x):
        error = jnp.abs(widen(x).sum(-1) - 1)
        return (x >= 0).all(-1) & (error <= 4 * float(jnp.finfo(x.dtype).eps))


log_simplex = _LogSimplex()
rounded_simplex = _RoundedSimplex()
logits_vector = _Logits()


class LogRatioTransform(Transform):
    r"""From log-ratios to the last class, to the log-simplex.

    .. math:: y = \log \mathrm{softmax}(r_1, \dots, r_{K-1}, 0)

    Densities on the log-simplex are densities of these log-ratios, so the log-Jacobian is zero.
    The host uses it for latent sites on the log-simplex.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> transform = LogRatioTransform()
        >>> y = transform(jnp.array([1.0, -1.0]))
        >>> round(float(jnp.exp(y).sum()), 4), [round(r, 4) for r in transform.inv(y).tolist()]
        (1.0, [1.0, -1.0])
    """

    domain = constraints.real_vector
    codomain = log_simplex

    def __eq__(self, other):
        return isinstance(other, LogRatioTransform)

    def __call__(self, x):
        """Transform log-ratios."""
        return jax.nn.log_softmax(jnp.pad(x, [(0, 0)] * (jnp.ndim(x) - 1) + [(0, 1)]), -1)

    def _inverse(self, y):
        return y[..., :-1] - y[..., -1:]

    def log_abs_det_jacobian(self, x, y, intermediates=None):
        """Return zero for each member of the batch."""
        return jnp.zeros(jnp.shape(x)[:-1], jnp.result_type(x))

    def forward_shape(self, shape):
        """Return the shape of the values: one class more."""
        return (*shape[:-1], shape[-1] + 1)

    def inverse_shape(self, shape):
        """Return the shape of the log-ratios: one class less."""
        return (*shape[:-1], shape[-1] - 1)

    def tree_flatten(self):
        """Take apart for JAX: there is nothing inside."""
        return (), ((), {})


@biject_to.register(rounded_simplex)
def _as_the_simplex(constraint):
    return biject_to(constraints.simplex)


@biject_to.register(log_simplex)
def _from_log_ratios(constraint):
    return LogRatioTransform()
