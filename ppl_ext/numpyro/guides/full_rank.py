"""Full-rank Gaussian guide."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from ppl_ext.numpyro.guides.gaussian import AbstractGaussianGuide
from ppl_ext.numpyro.guides.joint import AbstractJointGuide

__all__ = ["AutoFullRank"]


class AutoFullRank(AbstractJointGuide, AbstractGaussianGuide):
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

    def _posterior(self, loc: jax.Array, scale_tril: jax.Array) -> dist.Distribution:
        # Its constraint has made the factor a triangular one; the host's look at it would be
        # compiled operation by operation.
        return dist.MultivariateNormal(loc, scale_tril=scale_tril, validate_args=False)

    def get_posterior(self, params: Mapping[str, jax.Array]) -> dist.Distribution:
        """The Gaussian on unconstrained space; its ``log_prob(z[..., dim])`` is log q.

        Args:
            params: Parameters of the guide.

        Returns:
            A distribution of event shape ``(dim,)``, coordinates in the order of `trace_density`.
        """
        loc, scale_tril = self.gaussian(params)
        return dist.MultivariateNormal(loc, scale_tril=scale_tril)

    def _marginal_scale(self, params: Mapping[str, jax.Array]) -> jax.Array:
        return jnp.linalg.norm(self.gaussian(params)[1], axis=-1)
