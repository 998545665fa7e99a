"""A guide of several parts that share the rows of a minibatch and nothing else."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from numpyro import handlers
from numpyro.infer.autoguide import AutoGuide, AutoGuideList

from ppl_ext.numpyro.tracing.rng_keys import check_rng_key

__all__ = ["CompositeGuide"]

_DRAWS = 2000  # of a part that knows no quantiles


class CompositeGuide(AutoGuideList):
    """Guides of parts of a model, drawn independently and in one minibatch, as one guide.

    Takes guides of this package and of the host. The host's ``AutoGuideList`` has every part
    draw with one key, so that independent parts come out equal, and lets every part draw rows of
    its own, of which the model sees the last. Not for posteriors whose parts depend on each
    other: one guide of all sites is for them.

    Args:
        model: NumPyro model.
        parts: Guides of ``handlers.block(model, hide=[...])``, no site in two of them; more come
            by ``append``.
        create_plates: The host's hook for plates that the user makes.

    Example:
        >>> import jax, numpyro, numpyro.distributions as dist, optax
        >>> from numpyro.handlers import block
        >>> from ppl_ext.numpyro import AutoFullRank, AutoMeanField, CompositeGuide
        >>> def model():
        ...     numpyro.sample("a", dist.Normal(0.0, 1.0))
        ...     numpyro.sample("b", dist.Normal(2.0, 1.0))
        >>> parts = [AutoMeanField(block(model, hide=["b"]), prefix="first")]
        >>> parts += [AutoFullRank(block(model, hide=["a"]), prefix="second")]
        >>> guide = CompositeGuide(model, parts)
        >>> svi = numpyro.infer.SVI(model, guide, optax.adam(0.1), numpyro.infer.Trace_ELBO())
        >>> params = svi.run(jax.random.key(0), 300, progress_bar=False).params
        >>> draws = guide.sample_posterior(jax.random.key(1), params, sample_shape=(4000,))
        >>> bool(abs(jax.numpy.corrcoef(draws["a"], draws["b"])[0, 1]) < 0.06)
        True

    References:
        Hoffman, Blei, Wang, Paisley (2013), Stochastic variational inference, JMLR 14.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        parts: Sequence[AutoGuide] = (),
        *,
        create_plates: Callable | None = None,
    ) -> None:
        super().__init__(model, create_plates=create_plates)
        for part in parts:
            self.append(part)

    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, jax.Array]:
        """Draw the sites of all parts once, with one draw of rows for every plate."""
        if self.prototype_trace is None:
            self._setup_prototype(*args, **kwargs)
        plates = self._create_plates(*args, **kwargs)
        rows = {name: plate._indices for name, plate in plates.items()}
        values: dict[str, jax.Array] = {}
        with handlers.substitute(data=rows):
            for part in self:
                values.update(part(*args, **kwargs))
        return values

    def sample_posterior(
        self,
        rng_key: jax.Array,
        params: Mapping[str, Any],
        *args: Any,
        sample_shape: tuple[int, ...] = (),
        **kwargs: Any,
    ) -> dict[str, jax.Array]:
        """Draw every latent site, each part by itself.

        Args:
            rng_key: Random key.
            params: Parameters of all parts.
            *args: Positional arguments of the model.
            sample_shape: Shape of the draws.
            **kwargs: Keyword arguments of the model.

        Returns:
            ``{site: array[*sample_shape, ...]}``.
        """
        line = "guide.sample_posterior(jax.random.key(0), params)"
        check_rng_key("CompositeGuide.sample_posterior", rng_key, line)
        values: dict[str, jax.Array] = {}
        for key, part in zip(jax.random.split(rng_key, len(self)), self, strict=True):
            values.update(
                part.sample_posterior(key, params, *args, sample_shape=sample_shape, **kwargs)
            )
        return values

    def median(self, params: Mapping[str, Any]) -> dict[str, jax.Array]:
        """Median of every latent site, by draws where a part knows none.

        Args:
            params: Parameters of all parts.

        Returns:
            ``{site: array}``.
        """
        values: dict[str, jax.Array] = {}
        for part in self:
            try:
                values.update(part.median(params))
            except NotImplementedError:
                drawn = _quantiles_of_draws(part, params, jnp.array([0.5]))
                values.update({name: value[0] for name, value in drawn.items()})
        return values

    def quantiles(
        self, params: Mapping[str, Any], quantiles: Sequence[float]
    ) -> dict[str, jax.Array]:
        """Quantiles of every latent site, by draws where a part knows none.

        Args:
            params: Parameters of all parts.
            quantiles: Probabilities between 0 and 1.

        Returns:
            ``{site: array[quantile, ...]}``.
        """
        values: dict[str, jax.Array] = {}
        for part in self:
            try:
                values.update(part.quantiles(params, quantiles))
            except NotImplementedError:
                levels = jnp.asarray(quantiles, dtype=float)
                values.update(_quantiles_of_draws(part, params, levels))
        return values


def _quantiles_of_draws(part: AutoGuide, params: Mapping[str, Any], levels: jax.Array) -> dict:
    draws = part.sample_posterior(jax.random.key(0), params, sample_shape=(_DRAWS,))
    return {name: jnp.quantile(value, levels, axis=0) for name, value in draws.items()}
