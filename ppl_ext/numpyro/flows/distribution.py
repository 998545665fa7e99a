"""The distribution that a flow makes of a standard normal one."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from numpyro.distributions import Distribution, constraints
from numpyro.distributions.util import validate_sample

__all__ = ["FlowDistribution"]


class FlowDistribution(Distribution):
    r"""Distribution of the image of a standard normal vector under a flow.

    .. math:: x = T(e; c), \quad e \sim N(0, I), \qquad
        \log q(x) = \log N(e; 0, I) - \log |\det \partial T / \partial e|

    A draw carries its density along, so that the host's ``Trace_ELBO`` needs no second pass. Not
    for moments or distribution functions, which a flow does not know.

    Args:
        flow: The flow.
        params: Its parameters.
        context: What the flow is conditioned on, shape ``[*batch, context_dim]``; None for a
            flow without a context.
        base: Distribution of ``e``, one without batch over vectors ``[dim]``; the standard normal
            one if None.
        validate_args: Whether values are checked; by default as in the host.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ppl_ext.numpyro.flows import CouplingFlow
        >>> flow = CouplingFlow(3)  # the identity, before it is trained
        >>> normal = flow(flow.init(jax.random.key(0)))
        >>> normal.event_shape, round(float(normal.log_prob(jnp.zeros(3))), 4)
        ((3,), -2.7568)

    References:
        Papamakarios, Nalisnick, Rezende, Mohamed, Lakshminarayanan (2021), Normalizing flows for
        probabilistic modeling and inference, JMLR 22(57).
    """

    arg_constraints = {}  # noqa: RUF012
    support = constraints.real_vector
    reparametrized_params = ()
    pytree_data_fields = ("params", "context", "base")
    pytree_aux_fields = ("flow",)

    def __init__(
        self,
        flow: Any,
        params: Any,
        context: jax.Array | None = None,
        base: Distribution | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self.flow = flow
        self.params = params
        self.base = base
        self.context = None if context is None else jnp.asarray(context)
        batch_shape = () if context is None else jnp.shape(context)[:-1]
        super().__init__(batch_shape, (flow.dim,), validate_args=validate_args)

    def sample(self, key, sample_shape=()):
        """Draw, with gradients to parameters and context."""
        return self.sample_with_log_prob(key, sample_shape)[0]

    def sample_with_intermediates(self, key, sample_shape=()):
        """Draw, and keep the log density of every draw for ``log_prob``."""
        x, log_q = self.sample_with_log_prob(key, sample_shape)
        return x, [log_q]

    def sample_with_log_prob(
        self, key: jax.Array, sample_shape: tuple[int, ...] = ()
    ) -> tuple[jax.Array, jax.Array]:
        """Draw, with the log density of every draw from the same pass.

        Args:
            key: Random key.
            sample_shape: Shape of the draws.

        Returns:
            Draws ``[*sample_shape, *batch, dim]`` and their log densities.
        """
        dtype = jnp.result_type(float, *jax.tree.leaves(self.params))
        shape = tuple(sample_shape) + self.batch_shape
        if self.base is None:
            e = jax.random.normal(key, (*shape, self.flow.dim), dtype)
        else:
            e = self.base.sample(key, shape).astype(dtype)
        x, log_slope = self.flow.push(self.params, e, self.context)
        return x, self._log_base(e) - log_slope

    @validate_sample
    def log_prob(self, value, intermediates=None):
        """Log density of values ``[..., *batch, dim]``."""
        if intermediates:
            return intermediates[0]
        return self.log_prob_with_noise(value)[0]

    def log_prob_with_noise(self, value: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Log density of values ``[..., *batch, dim]``, and the noise ``e`` of each."""
        e, log_slope = self.flow.pull(self.params, value, self.context)
        return self._log_base(e) + log_slope, e

    def _log_base(self, e: jax.Array) -> jax.Array:
        if self.base is not None:
            return self.base.log_prob(e)
        return -0.5 * jnp.sum(e**2, -1) - 0.5 * e.shape[-1] * math.log(2 * math.pi)
