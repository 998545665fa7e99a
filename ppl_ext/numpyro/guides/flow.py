"""A guide that bends: a normalizing flow in the frame of a Gaussian."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.distributions.transforms import LowerCholeskyAffine
from numpyro.infer import init_to_uniform

from ppl_ext.gaussian_vi.standard_draws import draw_standard_normal
from ppl_ext.numpyro.flows import CouplingFlow
from ppl_ext.numpyro.flows.flow import AbstractFlow
from ppl_ext.numpyro.guides.joint import AbstractJointGuide
from ppl_ext.numpyro.tracing.bound_model import BoundModel

__all__ = ["AutoFlow"]

_PAIRS = 2048  # antithetic draws of medians and quantiles, times two
_WIDEST = 128


class AutoFlow(AbstractJointGuide):
    r"""A normalizing flow on unconstrained space, in the frame of a full-rank Gaussian.

    .. math:: z = \mu + L\, T(e), \qquad e \sim N(0, I)

    For posteriors that no Gaussian follows: funnels, bananas, hard bounds, several modes.
    Before training :math:`T` is the identity and the guide is its frame. ``fit`` trains it in
    stages and stops by itself; by hand, start from a fitted frame (``set_gaussian``) and take
    many draws for a step. Medians and quantiles are those of fixed draws. Not
    where ``AutoFullRank`` is called good, which is a tenth of the work; not for thousands of
    coordinates, and not for local sites in subsampled plates.

    Args:
        model: NumPyro model.
        flow: A flow of `ppl_ext.numpyro.flows` without a context, as wide as the model has latent
            coordinates; None for a coupling flow of a size that suits their number.
        prefix: First part of the parameter names ``{prefix}_loc``, ``{prefix}_scale_tril`` and
            ``{prefix}_flow``, which is a tree of arrays.
        init_loc_fn: The host's strategy for the starting mean.
        init_scale: Starting standard deviation on unconstrained space.
        create_plates: The host's hook for plates that the user makes.

    Raises:
        ValueError: ``init_scale`` is not positive; at the first call, the flow does not suit the
            model, or the model has a latent site that is discrete, has no bijection or lies in a
            subsampled plate.

    Example:
        >>> import jax, numpyro, numpyro.distributions as dist
        >>> from ppl_ext.numpyro import AutoFlow
        >>> def model():
        ...     a = numpyro.sample("a", dist.Normal(0.0, 1.0))
        ...     numpyro.sample("b", dist.Normal(a**2, 0.3))
        >>> guide = AutoFlow(model)
        >>> _ = guide.setup(jax.random.key(0))
        >>> params = guide.set_gaussian([0.0, 1.0], [[1.0, 0.0], [0.0, 1.4]])
        >>> {name: round(float(value), 3) for name, value in guide.median(params).items()}
        {'a': 0.0, 'b': 1.0}

    References:
        Rezende, Mohamed (2015), Variational inference with normalizing flows, ICML,
        arXiv:1505.05770.
        Agrawal, Domke (2024), Disentangling impact of capacity, objective, batchsize, estimators,
        and step-size on flow VI, arXiv:2412.08824.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        *,
        flow: AbstractFlow | None = None,
        prefix: str = "auto",
        init_loc_fn: Callable = init_to_uniform,
        init_scale: float = 0.1,
        create_plates: Callable | None = None,
    ) -> None:
        super().__init__(
            model,
            prefix=prefix,
            init_loc_fn=init_loc_fn,
            init_scale=init_scale,
            create_plates=create_plates,
        )
        self._given_flow = flow

    @property
    def flow(self) -> AbstractFlow:
        """The flow, as it was given or as it suits the model that the guide has seen."""
        return self._given_flow or _choose_flow(self.dim)

    def _set_up(self, bound: BoundModel) -> None:
        super()._set_up(bound)
        flow = self.flow
        if flow.dim != self.dim or flow.context_dim:
            kind = type(flow).__name__
            raise ValueError(
                f"AutoFlow: the flow has dim={flow.dim} and context_dim={flow.context_dim}, "
                f"where the model has {self.dim} latent coordinates; expected a flow as wide, "
                f"without a context. Write AutoFlow(model, flow={kind}({self.dim}))."
            )

    def _program_key(self, model: Callable[..., Any]) -> tuple[Any, ...]:
        return (*super()._program_key(model), repr(self._given_flow))

    def _posterior(self, loc: jax.Array, scale_tril: jax.Array) -> dist.Distribution:
        weights = numpyro.param(f"{self.prefix}_flow", self._start_flow)
        return self._in_frame(loc, scale_tril, weights)

    def _start_flow(self, rng_key: jax.Array | None) -> Any:
        return self.flow.init(jax.random.key(0) if rng_key is None else rng_key)

    def _in_frame(self, loc: jax.Array, scale_tril: jax.Array, weights: Any) -> dist.Distribution:
        frame = LowerCholeskyAffine(loc, scale_tril)
        return dist.TransformedDistribution(self.flow(weights), frame)

    def get_posterior(self, params: Mapping[str, Any]) -> dist.Distribution:
        """The flow on unconstrained space; its ``log_prob(z[..., dim])`` is log q.

        Args:
            params: Parameters of the guide.

        Returns:
            A distribution of event shape ``(dim,)``, coordinates in the order of `trace_density`.
        """
        return self._in_frame(*self.gaussian(params), params[f"{self.prefix}_flow"])

    def set_gaussian(self, loc: Any, scale: Any) -> dict[str, Any]:
        """Put mean and scale, in the order of `trace_density`, into parameters of the guide.

        Args:
            loc: Mean, ``[dim]``.
            scale: Lower Cholesky factor of the covariance, ``[dim, dim]``.

        Returns:
            Parameters of the guide, whose flow is the identity.
        """
        weights = self.flow.init(jax.random.key(0))
        return {**super().set_gaussian(loc, scale), f"{self.prefix}_flow": weights}

    def _flat_quantiles(self, params: Mapping[str, Any], probability: jax.Array) -> jax.Array:
        # By draws, always the same; in pairs, so that the median of a Gaussian is its mean.
        half = draw_standard_normal(_PAIRS, self.dim, seed=0)
        z = self._push(params, np.concatenate([half, -half]))
        return jnp.quantile(z, probability, axis=0)

    def _push(self, params: Mapping[str, Any], noise: np.ndarray) -> jax.Array:
        loc, scale_tril = self.gaussian(params)
        weights = params[f"{self.prefix}_flow"]
        bent, _ = self.flow.push(weights, jnp.asarray(noise, loc.dtype))
        return loc + bent @ scale_tril.T


def _choose_flow(dim: int) -> AbstractFlow:
    """A coupling flow for a guide of so many coordinates.

    Many affine layers come further in the same time than a few splines; one coordinate alone
    they could only stretch.
    """
    if dim == 1:
        return CouplingFlow(1, num_layers=2)
    width = min(_WIDEST, max(32, 1 << (dim - 1).bit_length()))
    return CouplingFlow(dim, transform="affine", num_layers=12, hidden=(width, width))
