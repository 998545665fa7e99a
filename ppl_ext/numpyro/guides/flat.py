"""Guides whose draws are one flat vector of coordinates: reading their parameters."""

import functools
import zlib
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro import handlers

from ppl_ext.gaussian_vi.standard_draws import draw_standard_normal
from ppl_ext.numpyro.guides.unconstrained import AbstractUnconstrainedGuide
from ppl_ext.numpyro.tracing.bound_model import bind_model
from ppl_ext.numpyro.tracing.find_sites import put_unconstrained
from ppl_ext.numpyro.tracing.model_call import ModelCall
from ppl_ext.numpyro.tracing.rng_keys import check_rng_key
from ppl_ext.numpyro.tracing.turns import in_turn

__all__ = ["AbstractFlatGuide"]

_PAIRS = 1024  # of fixed draws, where quantiles have no closed form


class AbstractFlatGuide(AbstractUnconstrainedGuide):
    """A distribution on the unconstrained space of a model, with a Gaussian inside it."""

    @abstractmethod
    def get_posterior(self, params: Mapping[str, jax.Array]) -> dist.Distribution:
        """The guide on unconstrained space; its ``log_prob(z[..., dim])`` is log q."""

    @abstractmethod
    def gaussian(self, params: Mapping[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
        """Read mean and scale on unconstrained space, in the order of `trace_density`."""

    @abstractmethod
    def set_gaussian(self, loc: Any, scale: Any) -> dict[str, jax.Array]:
        """Put mean and scale, in the order of `trace_density`, into parameters of the guide."""

    @abstractmethod
    def _flat_quantiles(self, params: Mapping[str, Any], probability: jax.Array) -> jax.Array:
        """Quantiles of every coordinate, ``[quantile, dim]``."""

    @abstractmethod
    def _push(self, params: Mapping[str, Any], noise: np.ndarray) -> jax.Array:
        """Draws on unconstrained space from standard normal ones, ``[draw, dim]``."""

    def _check_shape(self, what: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
        value = np.asarray(value, dtype=jnp.result_type(float))
        if value.shape != shape:
            raise ValueError(
                f"{type(self).__name__}.set_gaussian: {what} has shape {value.shape}; expected "
                f"{shape} for the sites {', '.join(site.name for site in self.sites)}. Give the "
                "mean and scale of this model's unconstrained space."
            )
        return value

    @in_turn
    def sample_posterior(
        self,
        rng_key: jax.Array,
        params: Mapping[str, jax.Array],
        *args: Any,
        sample_shape: tuple[int, ...] = (),
        **kwargs: Any,
    ) -> dict[str, jax.Array]:
        """Draw every latent site.

        Args:
            rng_key: Random key.
            params: Parameters of the guide.
            *args: Positional arguments of the model; those of the set-up if there are none.
            sample_shape: Shape of the draws.
            **kwargs: Keyword arguments of the model.

        Returns:
            ``{site: array[*sample_shape, ...]}``; the deterministic sites too, unless the model
            sees its data in minibatches.
        """
        check_rng_key(
            f"{type(self).__name__}.sample_posterior",
            rng_key,
            "guide.sample_posterior(jax.random.key(0), params)",
        )
        # The host's AutoGuideList hands the same key to every part.
        own = zlib.crc32(" ".join(site.name for site in self._ready()).encode())
        z = self.get_posterior(params).sample(jax.random.fold_in(rng_key, own), sample_shape)
        values = self._constrain(z.reshape(-1, self.dim), args, kwargs)
        return {k: jnp.reshape(v, sample_shape + v.shape[1:]) for k, v in values.items()}

    def median(self, params: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        """Median of every latent site.

        Args:
            params: Parameters of the guide.

        Returns:
            ``{site: array}``; exact where the bijection works entry by entry.
        """
        return {name: value[0] for name, value in self.quantiles(params, [0.5]).items()}

    @in_turn
    def quantiles(
        self, params: Mapping[str, jax.Array], quantiles: Sequence[float]
    ) -> dict[str, jax.Array]:
        """Quantiles of every latent site.

        Not for the joint spread of a site whose entries are bound together (a simplex, a
        correlation matrix): there the bijection is applied to the quantiles of its coordinates.
        Where it depends on other sites they are those of fixed draws.

        Args:
            params: Parameters of the guide.
            quantiles: Probabilities between 0 and 1.

        Returns:
            ``{site: array[quantile, ...]}``.
        """
        probability = jnp.asarray(quantiles, dtype=float)

        def at(probability):
            z = self._flat_quantiles(params, probability)
            values = self._constrain(z, (), {})
            return {site.name: values[site.name] for site in self.sites}

        # A bijection onto an interval without a lower end is decreasing and turns them around.
        lower, upper = at(jnp.array([0.25])), at(jnp.array([0.75]))
        rising, falling = at(probability), at(1 - probability)
        exact = {k: jnp.where(lower[k] <= upper[k], rising[k], falling[k]) for k in rising}
        moving = [site.name for site in self.sites if site.latent.transform is None]
        if not moving:
            return exact
        half = draw_standard_normal(_PAIRS, self.dim, 0)
        values = self._constrain(self._push(params, np.concatenate([half, -half])), (), {})
        return exact | {k: jnp.quantile(values[k], probability, axis=0) for k in moving}

    def _constrain(self, z: jax.Array, args: tuple, kwargs: Mapping) -> dict[str, jax.Array]:
        """Values of latent and, where the model can be run, deterministic sites."""
        sites = self._ready()
        if args or kwargs:
            bound = bind_model(type(self).__name__, self.model, args, kwargs)
        else:
            bound = self._bound and self._bound.in_force()
        if self._dynamic and bound is None:
            raise RuntimeError(
                f"{type(self).__name__}: the support of a site depends on the model's arguments, "
                "which the guide has seen only while it was traced; expected them here. Write "
                "guide.setup(rng_key, *args, **kwargs)."
            )
        if bound and (self._dynamic or (self._deterministic and not self._subsamples)):
            layout = tuple((site.name, site.start, site.stop, site.shape) for site in sites)
            return _compile_replay(bound.call, layout)(z, bound.arrays)
        return {
            site.name: site.latent.transform(z[:, site.start : site.stop].reshape(-1, *site.shape))
            for site in sites
        }


@functools.lru_cache(maxsize=64)
def _compile_replay(call: ModelCall, layout: tuple[tuple[Any, ...], ...]) -> Callable:
    """A run of the model at every draw of its latent sites; what it does not observe it draws."""
    names = [name for name, *_ in layout]
    # What hangs on sites that are summed out has no value until those are drawn.
    left_out = call.sites.assigned

    def replay(z, arrays):
        position = {name: z[start:stop].reshape(shape) for name, start, stop, shape in layout}
        placed = put_unconstrained(
            handlers.seed(call.run, 0), lambda site, _: position.get(site["name"])
        )
        with handlers.block():
            trace = handlers.trace(placed).get_trace(arrays)
        kept = names + [name for name, site in trace.items() if site["type"] == "deterministic"]
        return {name: trace[name]["value"] for name in kept if name not in left_out}

    return jax.jit(jax.vmap(replay, in_axes=(0, None)))
