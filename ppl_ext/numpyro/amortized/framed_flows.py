"""Flows of rows: the encoder gives their frame, and the context that bends them."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import Distribution, constraints
from numpyro.distributions.util import validate_sample

from ppl_ext.amortization.layout import CONTEXT_DIM
from ppl_ext.gaussian_vi.standard_draws import draw_standard_normal
from ppl_ext.numpyro.amortized.gaussians import Change, Gaussian, read_encoded
from ppl_ext.numpyro.flows import CouplingFlow
from ppl_ext.numpyro.flows.distribution import FlowDistribution

__all__ = ["FramedFlow", "RowFlow", "choose_flow", "read_flows"]

_PAIRS = 1024  # antithetic draws of quantiles, times two
_BATCH_FLOATS = 10_000_000


class FramedFlow(Distribution):
    r"""Distribution of :math:`z = \mu + L x`, where a flow draws :math:`x`.

    Args:
        frame: Location and Cholesky factor.
        base: The flow's distribution.
        validate_args: Whether values are checked; by default as in the host.
    """

    arg_constraints = {}  # noqa: RUF012
    support = constraints.real_vector
    reparametrized_params = ()
    pytree_data_fields = ("loc", "scale_tril", "base")

    def __init__(
        self, frame: Gaussian, base: FlowDistribution, validate_args: bool | None = None
    ) -> None:
        self.loc, self.scale_tril, self.base = frame.loc, frame.scale, base
        super().__init__(base.batch_shape, base.event_shape, validate_args=validate_args)

    def sample(self, key, sample_shape=()):
        """Draw, with gradients to frame and flow."""
        return self.sample_with_intermediates(key, sample_shape)[0]

    def sample_with_intermediates(self, key, sample_shape=()):
        """Draw, and keep the log density of every draw for ``log_prob``."""
        x, log_q = self.base.sample_with_log_prob(key, sample_shape)
        frame = Gaussian(self.loc, self.scale_tril)
        return frame.stretch(x), [log_q - frame.log_volume]

    @validate_sample
    def log_prob(self, value, intermediates=None):
        """Log density of values ``[..., *batch, dim]``."""
        if intermediates:
            return intermediates[0]
        frame = Gaussian(self.loc, self.scale_tril)
        return self.base.log_prob(frame.shrink(value)) - frame.log_volume


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("frame", "params", "context"),
    meta_fields=("flow",),
)
@dataclass(frozen=True)
class RowFlow:
    """A flow for each row, all of one network, and each of its own frame and context.

    Args:
        frame: Gaussians into whose coordinates the flow is put; they are the whole answer before
            it is trained.
        flow: The flow.
        params: Its parameters.
        context: What it is conditioned on, ``[..., width]``.
    """

    frame: Gaussian
    flow: Any
    params: Any
    context: jax.Array

    @property
    def loc(self) -> jax.Array:
        """Locations of the frames, ``[..., dim]``."""
        return self.frame.loc

    @property
    def distribution(self) -> FramedFlow:
        """As the host writes it, ``dim`` an event dimension."""
        return FramedFlow(self.frame, self.flow(self.params, self.context))

    def beside(self, ndim: int) -> "RowFlow":
        """The same with so many dimensions of length 1 between the rows and their values."""
        context = self.context.reshape(*self.context.shape[:-1], *(1,) * ndim, -1)
        return RowFlow(self.frame.beside(ndim), self.flow, self.params, context)

    def push(self, e: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Draws ``[..., dim]`` from standard normal noise, and their log densities."""
        x, log_slope = self.flow.push(self.params, e, self.context)
        log_e = -0.5 * (e**2).sum(-1) - 0.5 * e.shape[-1] * math.log(2 * math.pi)
        return self.frame.stretch(x), log_e - log_slope - self.frame.log_volume

    def log_prob(self, z: jax.Array) -> jax.Array:
        """Log densities of ``z[..., dim]``."""
        return self.distribution.log_prob(z)

    def find_quantiles(self, probability: jax.Array) -> jax.Array:
        """Quantiles of the coordinates ``[quantile, row, dim]``, from draws that stay the same.

        Args:
            probability: ``[quantile]``.
        """
        rows, dim = self.loc.shape
        half = draw_standard_normal(_PAIRS, dim, seed=0)
        e = jnp.asarray(np.concatenate([half, -half])[:, None])
        size, parts = max(1, _BATCH_FLOATS // (2 * _PAIRS * dim)), []
        for few in (slice(start, start + size) for start in range(0, rows, size)):
            frame = Gaussian(self.loc[few], self.frame.scale[few])
            z, _ = RowFlow(frame, self.flow, self.params, self.context[few]).push(e)
            parts.append(jnp.quantile(z, probability, axis=0))
        return jnp.concatenate(parts, 1)

    def start_change(self) -> dict[str, jax.Array]:
        """The change that leaves everything as it is, for `moved`."""
        return self.frame.start_change() | {"context": jnp.zeros_like(self.context)}

    def moved(self, change: Change) -> "RowFlow":
        """Another one, its change told in this one's own frame; the network stays."""
        context = self.context + change["context"]
        return RowFlow(self.frame.moved(change), self.flow, self.params, context)


def choose_flow(dim: int) -> CouplingFlow:
    """The flow that is taken by default: splines, for one coordinate cannot bend by another."""
    # Beyond four deviations hardly a draw trains the splines: there they only shift.
    return CouplingFlow(dim, CONTEXT_DIM, num_layers=2 if dim == 1 else 4, bound=4.0)


def read_flows(encoded: jax.Array, flow: Any, params: Any) -> RowFlow:
    """The flows of rows.

    Args:
        encoded: What the encoder gave, ``[row, output]``: the frames, and then the contexts.
        flow: The flow.
        params: Its parameters.
    """
    frame = read_encoded(encoded[..., :-CONTEXT_DIM], flow.dim, "full_rank")
    return RowFlow(frame, flow, params, encoded[..., -CONTEXT_DIM:])
