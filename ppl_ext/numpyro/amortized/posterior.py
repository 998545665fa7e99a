"""The posterior of rows and of what they share: draws, medians and quantiles of all sites."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from ppl_ext.amortization.layout import RowLayout
from ppl_ext.numpyro.amortized import emission
from ppl_ext.numpyro.amortized.framed_flows import RowFlow
from ppl_ext.numpyro.amortized.gaussians import Gaussian
from ppl_ext.numpyro.amortized.rows import Trace

__all__ = ["RowPosterior"]


@dataclass(frozen=True)
class RowPosterior:
    """What is known of rows and of what they share.

    Args:
        layout: The sites.
        shared: Gaussian of the shared sites; None where there are none.
        local: That of the local sites, one for each row.
        trace: A run of the model with these rows, which knows the supports.
    """

    layout: RowLayout
    shared: Gaussian | None
    local: Gaussian | RowFlow
    trace: Trace

    @property
    def distribution(self) -> dist.Distribution:
        """That of the rows, on unconstrained space."""
        return self.local.distribution

    def sample(self, rng_key: jax.Array, shape: tuple[int, ...]) -> dict[str, jax.Array]:
        """Draw all sites."""
        shared_key, local_key = jax.random.split(rng_key)
        z = self.distribution.sample(local_key, shape)
        shared = None
        if self.shared is not None:
            shared = self.shared.distribution.sample(shared_key, shape)
        return emission.constrain(self.layout, shared, z, self.trace)

    def find_median(self) -> dict[str, jax.Array]:
        """Medians of all sites."""
        half = jnp.array([0.5])
        return {name: value[0] for name, value in self._at(half).items()}

    def find_quantiles(self, levels: Sequence[float]) -> dict[str, jax.Array]:
        """Quantiles of all sites, ``[quantile, ...]``."""
        probability = jnp.asarray(levels, dtype=float)
        # A bijection onto an interval without a lower end is decreasing and turns them around.
        lower, upper = self._at(jnp.array([0.25])), self._at(jnp.array([0.75]))
        rising, falling = self._at(probability), self._at(1 - probability)
        return {k: jnp.where(lower[k] <= upper[k], rising[k], falling[k]) for k in rising}

    def _at(self, probability: jax.Array) -> dict[str, jax.Array]:
        """The sites where all coordinates stand at a quantile."""
        shared = None if self.shared is None else self.shared.find_quantiles(probability)
        z = self.local.find_quantiles(probability)
        return emission.constrain(self.layout, shared, z, self.trace)
