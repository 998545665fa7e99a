"""Score-function estimators with a relaxed control variate: REBAR and RELAX."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from ppl_ext.estimators.arguments import refuse
from ppl_ext.numpyro.estimators.estimator import AbstractEstimator
from ppl_ext.numpyro.estimators.integrand import check_temperature
from ppl_ext.numpyro.estimators.one_hot_draws import draw_one_hot, log_prob_of
from ppl_ext.numpyro.gumbel.logits import widen
from ppl_ext.numpyro.gumbel.tricks import posterior_gumbels

__all__ = ["REBAR", "RELAX", "AbstractControlVariate"]


class AbstractControlVariate(AbstractEstimator):
    """What the two estimators share: a function of the perturbed logits to compare with.

    Example:
        >>> issubclass(REBAR, AbstractControlVariate)
        True
    """

    def __post_init__(self) -> None:
        # Arrays are looked at in use: pytrees of gradients or of batches are made here as well.
        if isinstance(self.temperature, int | float):
            check_temperature(type(self).__name__, self.temperature)

    def evaluations(self, num_variables: int, num_classes: int) -> int:
        """Count the evaluations of the function that one estimate costs: draw and two relaxed."""
        return 3

    def _surrogate(self, rng_key, f, logits):
        check_temperature(type(self).__name__, self.temperature)
        draw_key, noise_key = jax.random.split(rng_key)
        wide = widen(logits)
        possible = wide > -jnp.inf
        z = draw_one_hot(draw_key, logits)
        given = posterior_gumbels(noise_key, wide, z.argmax(-1))
        given = jnp.where(possible, given, 0.0)
        # The same value once more, moving with the logits as if nothing were known of the draw:
        # what is common to the two paths cancels.
        free = stop_gradient(given) + jnp.where(possible, wide - stop_gradient(wide), 0.0)
        known, unknown = (
            self._control(f, _relax(each, possible, self.temperature, logits.dtype))
            for each in (given, free)
        )
        values, log_prob = f(z), log_prob_of(z, logits)
        # The weight is not stopped: its derivative in the logits is multiplied by zero, but the
        # second moment needs the one in the parameters of the control variate.
        return values + (values - known) * (log_prob - stop_gradient(log_prob)) + (unknown - known)

    @abstractmethod
    def _control(self, f, x):
        """Evaluate the control variate at relaxed draws."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class REBAR(AbstractControlVariate):
    r"""Score function with the function at relaxed draws as its control variate.

    .. math:: \left(f(b) - \eta f(\tilde x)\right) \nabla \log q(b)
        + \eta \nabla f(x) - \eta \nabla f(\tilde x)

    Here ``x`` is relaxed from perturbed logits, and ``x~`` from perturbed logits that are known to
    give the draw ``b``. Unbiased for every temperature and scale; the best ones are learned from
    ``second_moment``. Not for functions that are undefined between one-hot vectors; and
    ``LeaveOneOut`` of four draws is often as good for one evaluation more.

    Args:
        temperature: Positive temperature of the relaxed draws.
        scale: Multiplier of the control variate; zero leaves the score function.

    Raises:
        ValueError: A temperature that is not positive.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ppl_ext.numpyro.estimators import second_moment
        >>> f = lambda z: 7.0 + 3.0 * z[..., 0, 1]
        >>> def moment(parameters, key):
        ...     rebar = REBAR(jnp.exp(parameters[0]), parameters[1])
        ...     return second_moment(key, f, jnp.zeros((1, 2)), rebar, num_draws=100)
        >>> step = jax.jit(jax.value_and_grad(moment))
        >>> parameters, moments = jnp.zeros(2), []
        >>> for key in jax.random.split(jax.random.key(0), 60):  # start with the score function
        ...     value, gradient = step(parameters, key)
        ...     parameters, moments = parameters - 0.003 * gradient, [*moments, float(value)]
        >>> moments[-1] < 0.1 * moments[0]
        True

    References:
        Tucker, Mnih, Maddison, Lawson, Sohl-Dickstein (2017), REBAR: Low-Variance, Unbiased
        Gradient Estimates for Discrete Latent Variable Models, NeurIPS, arXiv:1703.07370.
    """

    temperature: float | jax.Array = 0.5
    scale: float | jax.Array = 1.0

    def _control(self, f, x):
        return self.scale * f(x)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RELAX(AbstractControlVariate):
    r"""Score function with a learned function of relaxed draws as its control variate.

    .. math:: \left(f(b) - c(\tilde x)\right) \nabla \log q(b) + \nabla c(x) - \nabla c(\tilde x),
        \quad c = r + \eta f

    Unbiased for every ``r``, which is learned from ``second_moment``. Not before ``REBAR`` has
    been tried, which has two parameters to learn instead of a network.

    Args:
        control: The function ``r`` of relaxed draws ``(*batch, variable, class)``, such as a
            network, with values ``(*batch,)``.
        temperature: Positive temperature of the relaxed draws.
        scale: Multiplier of ``f`` in the control variate. By default ``f`` is left to ``r`` and
            evaluated only at the draw.

    Raises:
        ValueError: A temperature that is not positive, or values of ``r`` of another shape.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ppl_ext.numpyro.estimators import second_moment
        >>> f = lambda z: z[..., 0, 1] * 3.0 + 7.0
        >>> def moment(weights, key):  # a black box f, and a plane to follow it
        ...     relax = RELAX(lambda x: x[..., 0, :] @ weights)
        ...     return second_moment(key, f, jnp.zeros((1, 2)), relax, num_draws=100)
        >>> step = jax.jit(jax.value_and_grad(moment))
        >>> weights, moments = jnp.zeros(2), []
        >>> for key in jax.random.split(jax.random.key(0), 60):
        ...     value, gradient = step(weights, key)
        ...     weights, moments = weights - 0.3 * gradient, [*moments, float(value)]
        >>> moments[-1] < 0.1 * moments[0]
        True

    References:
        Grathwohl, Choi, Wu, Roeder, Duvenaud (2018), Backpropagation through the Void:
        Optimizing Control Variates for Black-Box Gradient Estimation, ICLR, arXiv:1711.00123.
    """

    control: Callable[[jax.Array], jax.Array] = field(metadata={"static": True})
    temperature: float | jax.Array = 0.5
    scale: float | jax.Array | None = None

    def evaluations(self, num_variables: int, num_classes: int) -> int:
        """Count the evaluations of the function that one estimate costs, the control's apart."""
        return 1 if self.scale is None else 3

    def _control(self, f, x):
        values = jnp.asarray(self.control(x))
        if values.shape != x.shape[:-2]:
            raise refuse(
                "RELAX",
                f"control returned the shape {values.shape} for relaxed draws of the shape "
                f"{x.shape}",
                f"one value for each member of the batch, {x.shape[:-2]}",
                "Sum over what belongs to one member: control(x).sum((-2, -1)).",
            )
        return values if self.scale is None else values + self.scale * f(x)


def _relax(perturbed, possible, temperature, dtype):
    scores = jnp.where(possible, perturbed / temperature, -jnp.inf)
    return jax.nn.softmax(scores, -1).astype(dtype)
