"""Full-rank Gaussian guide."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.distributions.util import sum_rightmost

from ppl_ext.numpyro.guides.gaussian import AbstractGaussianGuide
from ppl_ext.numpyro.tracing.bound_model import BoundModel
from ppl_ext.numpyro.tracing.refusals import refuse_local

__all__ = ["AutoFullRank"]


class AutoFullRank(AbstractGaussianGuide):
    r"""One multivariate normal distribution on unconstrained space.

    .. math:: q(z) = N(z \mid m, L L^\top)

    Not for latent sites inside subsampled plates, and not far beyond a thousand dimensions: the
    Cholesky factor has ``dim * (dim + 1) / 2`` entries.

    Args:
        model: NumPyro model.
        prefix: First part of the parameter names ``{prefix}_loc`` and ``{prefix}_scale_tril``.
        init_loc_fn: The host's strategy for the starting mean.
        init_scale: Starting standard deviation on unconstrained space.
        create_plates: The host's hook for plates that the user makes.

    Raises:
        ValueError: ``init_scale`` is not positive; at the first call, the model has a latent site
            that is discrete, has no bijection or lies in a subsampled plate.

    Example:
        >>> import jax, numpyro, numpyro.distributions as dist, optax
        >>> from ppl_ext.numpyro import AutoFullRank, StickTheLanding
        >>> def model(y):
        ...     mu = numpyro.sample("mu", dist.Normal(0.0, 10.0))
        ...     numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)
        >>> guide = AutoFullRank(model)
        >>> svi = numpyro.infer.SVI(model, guide, optax.adam(0.05), StickTheLanding())
        >>> result = svi.run(jax.random.key(0), 500, 3.0, progress_bar=False)
        >>> round(float(guide.median(result.params)["mu"]), 1)
        3.0

    References:
        Kucukelbir, Tran, Ranganath, Gelman, Blei (2017), Automatic Differentiation Variational
        Inference, JMLR 18(14).
    """

    def _refuse(self, bound: BoundModel) -> None:
        refuse_local(bound, type(self).__name__)

    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, jax.Array]:
        """Draw every latent site once."""
        if not self.sites:
            self._setup_prototype(*args, **kwargs)
        start = self._starter(args, kwargs)

        def start_loc(rng_key):
            return jnp.concatenate([jnp.ravel(value) for value in start(rng_key).values()])

        posterior = dist.MultivariateNormal(
            numpyro.param(f"{self.prefix}_loc", start_loc),
            scale_tril=numpyro.param(
                f"{self.prefix}_scale_tril",
                self.init_scale * jnp.eye(self.dim),
                constraint=constraints.scaled_unit_lower_cholesky,
            ),
        )
        z = numpyro.sample(f"_{self.prefix}_latent", posterior, infer={"is_auxiliary": True})
        plates = self._create_plates(*args, **kwargs)
        values: dict[str, jax.Array] = {}
        for site in self.sites:
            coordinates = z[site.start : site.stop].reshape(site.shape)
            transform = self._transform(site, values, plates, (args, kwargs))
            value = transform(coordinates)
            log_density = -transform.log_abs_det_jacobian(coordinates, value)
            batch_ndim = jnp.ndim(value) - site.latent.event_dim
            log_density = sum_rightmost(log_density, jnp.ndim(log_density) - batch_ndim)
            # Inside its plates, or the host's TraceEnum_ELBO cannot tell the dimensions apart.
            with ExitStack() as stack:
                for plate in site.latent.plates:
                    stack.enter_context(plates[plate.name])
                delta = dist.Delta(value, log_density, event_dim=site.latent.event_dim)
                values[site.name] = numpyro.sample(site.name, delta)
        return values

    def get_posterior(self, params: Mapping[str, jax.Array]) -> dist.Distribution:
        """The Gaussian on unconstrained space; its ``log_prob(z[..., dim])`` is log q.

        Args:
            params: Parameters of the guide.

        Returns:
            A distribution of event shape ``(dim,)``, coordinates in the order of `trace_density`.
        """
        loc, scale_tril = self.gaussian(params)
        return dist.MultivariateNormal(loc, scale_tril=scale_tril)

    def gaussian(self, params: Mapping[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
        """Read mean and scale on unconstrained space, in the order of `trace_density`.

        Args:
            params: Parameters of the guide.

        Returns:
            loc[dim] and the Cholesky factor scale_tril[dim, dim].
        """
        return params[f"{self.prefix}_loc"], params[f"{self.prefix}_scale_tril"]

    def set_gaussian(self, loc: Any, scale: Any) -> dict[str, jax.Array]:
        """Put mean and scale, in the order of `trace_density`, into parameters of the guide.

        Args:
            loc: Mean, ``[dim]``.
            scale: Lower Cholesky factor of the covariance, ``[dim, dim]``.

        Returns:
            Parameters of the guide.
        """
        loc = self._check_shape("loc", loc, (self.dim,))
        scale_tril = self._check_shape("scale", scale, (self.dim, self.dim))
        return {
            f"{self.prefix}_loc": jnp.asarray(loc),
            f"{self.prefix}_scale_tril": jnp.asarray(scale_tril),
        }

    def _marginal_scale(self, params: Mapping[str, jax.Array]) -> jax.Array:
        return jnp.linalg.norm(self.gaussian(params)[1], axis=-1)
