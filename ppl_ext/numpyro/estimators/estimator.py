"""What an estimator of a gradient through discrete draws is, and how one is called."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import fields

import jax

from ppl_ext.numpyro.estimators.integrand import read_integrand
from ppl_ext.numpyro.estimators.one_hot_draws import draw_one_hot, log_prob_of

__all__ = ["AbstractEstimator", "AbstractPathEstimator", "AbstractScoreEstimator"]

Function = Callable[[jax.Array], jax.Array]


class AbstractEstimator(ABC):
    """A way to estimate the gradient of an expectation over discrete variables.

    A concrete estimator is a frozen dataclass whose fields are its parameters, and a pytree.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ppl_ext.numpyro.estimators import LeaveOneOut
        >>> f = lambda z: z @ jnp.array([0.0, 1.0, 4.0])
        >>> surrogate = lambda logits, key: LeaveOneOut(10_000).surrogate(key, f, logits)
        >>> differentiate = jax.jit(jax.value_and_grad(surrogate))
        >>> value, gradient = differentiate(jnp.zeros(3), jax.random.key(0))
        >>> abs(float(value) - 5 / 3) < 0.1, abs(float(gradient[0]) + 5 / 9) < 0.1
        (True, True)
    """

    @abstractmethod
    def evaluations(self, num_variables: int, num_classes: int) -> int:
        """Count the evaluations of the function that one estimate costs.

        Args:
            num_variables: Length of the axis of variables.
            num_classes: Length of the axis of classes.

        Returns:
            Evaluations of one member of the batch.
        """

    def surrogate(self, rng_key: jax.Array, f: Function, logits: jax.Array) -> jax.Array:
        """Return a number whose value and whose derivative are the two estimates.

        Its value estimates the expectation of ``f``. Its derivative estimates the gradient of
        the expectation, with respect to the logits and to everything that ``f`` closes over, the
        logits among it.

        Args:
            rng_key: Random key.
            f: Function of one-hot draws ``(*draws, *logits.shape)``, each member of the batch
                by itself, with values ``(*draws, *batch)``.
            logits: Unnormalised log-probabilities ``(*batch, variable, class)``, or ``(class,)``
                for a single variable; ``-inf`` rules a class out.

        Returns:
            The surrogate, with shape ``(*batch,)``.

        Raises:
            ValueError: No floating-point logits, or values of ``f`` of another shape.
        """
        f, logits = read_integrand(type(self).__name__, f, logits)
        return self._surrogate(rng_key, f, logits)

    @abstractmethod
    def _surrogate(self, rng_key, f, logits):
        """Do it for logits ``(*batch, variable, class)``, and an ``f`` that minds its shapes."""


class AbstractPathEstimator(AbstractEstimator):
    """An estimator whose gradient passes through the value of the draw.

    Example:
        >>> from ppl_ext.numpyro.estimators import AbstractEstimator
        >>> issubclass(AbstractPathEstimator, AbstractEstimator)
        True
    """

    @abstractmethod
    def sample(
        self, rng_key: jax.Array, logits: jax.Array, sample_shape: tuple[int, ...] = ()
    ) -> jax.Array:
        """Draw values that carry the estimator's gradient.

        Args:
            rng_key: Random key.
            logits: Unnormalised log-probabilities ``(*batch, class)``; ``-inf`` rules a class
                out.
            sample_shape: Draws of each member of the batch, which come first.

        Returns:
            Draws with shape ``(*sample_shape, *batch, class)``.
        """

    def evaluations(self, num_variables: int, num_classes: int) -> int:
        """Count the evaluations of the function that one estimate costs: one."""
        return 1

    def _surrogate(self, rng_key, f, logits):
        return f(self.sample(rng_key, logits))


class AbstractScoreEstimator(AbstractEstimator):
    """An estimator that weighs the scores of true draws by what the function made of them.

    It needs no more than the draws, so that it serves several sites that were drawn together,
    one after the other among them.

    Attributes:
        num_draws: Draws for one estimate.

    Example:
        >>> from ppl_ext.numpyro.estimators import LeaveOneOut
        >>> issubclass(LeaveOneOut, AbstractScoreEstimator), LeaveOneOut(8).num_draws
        (True, 8)
    """

    num_draws: int

    @abstractmethod
    def combine(self, values: jax.Array, log_probs: jax.Array) -> jax.Array:
        """Return the surrogate of draws that have been made.

        Args:
            values: Values of the function at the draws ``(draw, *batch)``.
            log_probs: Log-probabilities of the draws ``(draw, *batch)``.

        Returns:
            The surrogate, with shape ``(*batch,)``.
        """

    def evaluations(self, num_variables: int, num_classes: int) -> int:
        """Count the evaluations of the function that one estimate costs: one a draw."""
        return self.num_draws

    def _surrogate(self, rng_key, f, logits):
        z = draw_one_hot(rng_key, logits, (self.num_draws,))
        return self.combine(f(z), log_prob_of(z, logits))


def register_estimator(cls):
    """Register a frozen dataclass.

    A field that is a plain number belongs to the structure, so that an estimator within a
    distribution adds no leaf that ``jax.vmap`` would have to map; an array, such as a temperature
    that is annealed within ``jax.jit``, is a leaf.
    """
    names = [field.name for field in fields(cls)]

    def flatten(estimator):
        values = {name: getattr(estimator, name) for name in names}
        settings = tuple((name, value) for name, value in values.items() if _is_setting(value))
        leaves = tuple(value for value in values.values() if not _is_setting(value))
        return leaves, settings

    def unflatten(settings, leaves):
        # Not by the constructor: leaves may be tracers, or stand for something else.
        estimator, remaining, given = object.__new__(cls), iter(leaves), dict(settings)
        for name in names:
            value = given[name] if name in given else next(remaining)
            object.__setattr__(estimator, name, value)
        return estimator

    jax.tree_util.register_pytree_node(cls, flatten, unflatten)
    return cls


def _is_setting(value) -> bool:
    return value is None or isinstance(value, int | float)
