"""Mean-field Gaussian guide."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.distributions.transforms import IdentityTransform, IndependentTransform

from ppl_ext.numpyro.guides.gaussian import AbstractGaussianGuide

__all__ = ["AutoMeanField", "is_identity"]


class AutoMeanField(AbstractGaussianGuide):
    r"""Independent normal distributions on unconstrained space.

    .. math:: q(z) = \prod_j N(z_j \mid m_j, s_j^2)

    Every site is emitted under its own name, on real supports as a bare ``Normal``, so that the
    host's ``TraceMeanField_ELBO`` finds the divergence from a normal prior in closed form. Plates
    may subsample. Not for posteriors whose correlations or standard deviations are wanted: a
    mean-field fit understates both (see ``Fit.linear_response``).

    Args:
        model: NumPyro model.
        prefix: Middle part of the parameter names ``{site}_{prefix}_loc`` and ``..._scale``.
        init_loc_fn: The host's strategy for the starting mean.
        init_scale: Starting standard deviation on unconstrained space.
        create_plates: The host's hook for plates that the user makes.

    Raises:
        ValueError: ``init_scale`` is not positive; at the first call, the model has a latent site
            that is discrete or has no bijection.

    Example:
        >>> import jax, numpyro, numpyro.distributions as dist, optax
        >>> from ppl_ext.numpyro import AutoMeanField, StickTheLanding
        >>> def model(y):
        ...     mu = numpyro.sample("mu", dist.Normal(0.0, 10.0))
        ...     numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)
        >>> guide = AutoMeanField(model)
        >>> svi = numpyro.infer.SVI(model, guide, optax.adam(0.05), StickTheLanding())
        >>> result = svi.run(jax.random.key(0), 500, 3.0, progress_bar=False)
        >>> round(float(guide.median(result.params)["mu"]), 1)
        3.0

    References:
        Kucukelbir, Tran, Ranganath, Gelman, Blei (2017), Automatic Differentiation Variational
        Inference, JMLR 18(14).
    """

    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, jax.Array]:
        """Draw every latent site once."""
        if not self.sites:
            self._setup_prototype(*args, **kwargs)
        start = self._starter(args, kwargs)
        plates = self._create_plates(*args, **kwargs)
        values: dict[str, jax.Array] = {}
        for site in self.sites:
            with ExitStack() as stack:
                for plate in site.latent.plates:
                    stack.enter_context(plates[plate.name])
                fn = dist.Normal(
                    numpyro.param(
                        f"{site.name}_{self.prefix}_loc",
                        lambda rng_key, name=site.name: start(rng_key)[name],
                        event_dim=site.event_dim,
                    ),
                    numpyro.param(
                        f"{site.name}_{self.prefix}_scale",
                        jnp.full(site.shape, self.init_scale),
                        constraint=constraints.positive,
                        event_dim=site.event_dim,
                    ),
                ).to_event(site.event_dim)
                transform = self._transform(site, values, plates, (args, kwargs))
                if not is_identity(transform):
                    fn = dist.TransformedDistribution(fn, transform)
                values[site.name] = numpyro.sample(site.name, fn)
        return values

    def get_posterior(self, params: Mapping[str, jax.Array]) -> dist.Distribution:
        """The Gaussian on unconstrained space; its ``log_prob(z[..., dim])`` is log q.

        Args:
            params: Parameters of the guide.

        Returns:
            A distribution of event shape ``(dim,)``, coordinates in the order of `trace_density`.
        """
        loc, scale = self.gaussian(params)
        return dist.Normal(loc, scale).to_event(1)

    def gaussian(self, params: Mapping[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
        """Read mean and scale on unconstrained space, in the order of `trace_density`.

        Args:
            params: Parameters of the guide.

        Returns:
            loc[dim] and the standard deviations scale[dim].
        """

        def flat(what):
            named = (params[f"{site.name}_{self.prefix}_{what}"] for site in self._ready())
            return jnp.concatenate([jnp.ravel(value) for value in named])

        return flat("loc"), flat("scale")

    def set_gaussian(self, loc: Any, scale: Any) -> dict[str, jax.Array]:
        """Put mean and scale, in the order of `trace_density`, into parameters of the guide.

        Args:
            loc: Mean, ``[dim]``.
            scale: Standard deviation, ``[dim]``.

        Returns:
            Parameters of the guide.
        """
        params = {}
        for what, vector in (("loc", loc), ("scale", scale)):
            vector = self._check_shape(what, vector, (self.dim,))
            for site in self.sites:
                part = vector[site.start : site.stop].reshape(site.shape)
                params[f"{site.name}_{self.prefix}_{what}"] = jnp.asarray(part)
        return params

    def _marginal_scale(self, params: Mapping[str, jax.Array]) -> jax.Array:
        return self.gaussian(params)[1]


def is_identity(transform: Callable) -> bool:
    """Whether a bijection leaves everything as it is."""
    while isinstance(transform, IndependentTransform):
        transform = transform.base_transform
    return isinstance(transform, IdentityTransform)
