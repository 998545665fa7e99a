"""What a trained network says of an observation, and of thousands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from ppl_ext.calibration import Surprise
from ppl_ext.climbing import Points
from ppl_ext.correction import Correction
from ppl_ext.draws.draws import Draws
from ppl_ext.fitting.calls import check_count
from ppl_ext.npe.answers.correction import CorrectedPosterior, correct_answer
from ppl_ext.npe.answers.mode import find_mode
from ppl_ext.npe.answers.refusals import refuse_many, refuse_without_density
from ppl_ext.npe.answers.values import flatten_values
from ppl_ext.numpyro.fitting.guide_draws import score_points
from ppl_ext.numpyro.npe.coordinates import Coordinates
from ppl_ext.numpyro.npe.guide import sample_sites
from ppl_ext.numpyro.npe.trained import Trained
from ppl_ext.numpyro.tracing.bound_model import BoundModel, x64_scope
from ppl_ext.numpyro.tracing.density import density_of
from ppl_ext.numpyro.tracing.rng_keys import check_rng_key, make_generator, whole_seed_from

if TYPE_CHECKING:
    import xarray

__all__ = ["NeuralPosterior"]


class NeuralPosterior:
    """The posterior given one observation, or given each of many, from ``npe.posterior(x)``.

    Args:
        trained: The trained network.
        coordinates: The latent sites.
        observed: ``{site: array[observation, ...]}``.
        bound: The model bound to one observation, where it has a density of the sites.
        many: Whether there is an axis of observations.

    Example:
        >>> import jax, numpy as np, numpyro, numpyro.distributions as dist
        >>> import ppl_ext.numpyro as px
        >>> def model(y):
        ...     mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
        ...     numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)
        >>> npe = px.NPE(model, 0.0, estimator=px.npe.FullRankGaussian)
        >>> npe = npe.train(jax.random.key(0), 2000, progress_bar=False)
        >>> posterior = npe.posterior(np.array([-2.0, 2.0]))  # two observations at once
        >>> posterior.sample(jax.random.key(1), 1000)["mu"].mean(1).round().tolist()
        [-1.0, 1.0]
    """

    def __init__(
        self,
        trained: Trained,
        coordinates: Coordinates,
        observed: Mapping[str, np.ndarray],
        bound: BoundModel | None,
        many: bool,
    ) -> None:
        self.trained, self.amortized, self.coordinates = trained, trained.amortized, coordinates
        self.observed, self.bound, self.many = observed, bound, many

    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, jax.Array]:
        """Draw every site of interest once: the guide of the host for one observation.

        For ``Predictive(model, guide=posterior, params={})``, and for ``SVI``, which refines the
        weights ``npe_weights`` for this observation alone. Not for the refinement of a
        `MixtureDensity`, whose draws have no gradient.
        The arguments are not read.
        """
        self._refuse_many("__call__")
        f = self.trained.features.apply(self.observed)
        return sample_sites(self.trained, self.coordinates, f, "npe")

    def sample(self, rng_key: jax.Array, num_draws: int = 1000) -> dict[str, np.ndarray]:
        """Draw, without any density: the fast way for many observations.

        Args:
            rng_key: Random key.
            num_draws: Draws for each observation.

        Returns:
            ``{site: array[observation, draw, ...]}``, without the first axis for one observation.
        """
        check_rng_key("NeuralPosterior.sample", rng_key, "posterior.sample(jax.random.key(0))")
        check_count("NeuralPosterior.sample", "num_draws", num_draws, "sample(rng_key, 1000)")
        z = self._draw(rng_key, num_draws)
        values = self.coordinates.push(z.reshape(-1, z.shape[-1]))
        shape = z.shape[:2] if self.many else z.shape[1:2]
        return {name: x.reshape(*shape, *x.shape[1:]) for name, x in values.items()}

    def draws(
        self,
        rng_key: jax.Array,
        num_draws: int = 4000,
        *,
        posterior_predictive: bool = False,
    ) -> Draws:
        """Draw, with the densities of network and model and the log likelihood of every datum.

        Their difference are the importance weights: ``draws.resample()`` moves the draws to the
        posterior where k-hat allows it, `correct` wherever the model has a density. ``log_p`` is
        NaN where it has none for the sites of interest alone.

        Args:
            rng_key: Random key.
            num_draws: Number of draws.
            posterior_predictive: Whether to draw data too.

        Raises:
            ValueError: There are many observations.
        """
        check_rng_key("NeuralPosterior.draws", rng_key, "posterior.draws(jax.random.key(0))")
        check_count("NeuralPosterior.draws", "num_draws", num_draws, "draws(rng_key, 4000)")
        self._refuse_many("draws")
        z, log_q = self._draw_scored(rng_key, num_draws)
        if self.bound is None:
            latents = [site.latent for site in self.coordinates.sites]
            return Draws(
                values=self.coordinates.push(z),
                log_p=np.full(num_draws, np.nan),
                log_q=log_q,
                dims={latent.name: latent.dims for latent in latents if latent.dims},
                observed={name: x[0] for name, x in self.observed.items()},
                make_generator=make_generator,
            )
        return self._score(rng_key, Points(z, log_q), posterior_predictive)

    def log_prob(self, values: Mapping[str, Any]) -> np.ndarray:
        """Log density of values, in the model's own space.

        Args:
            values: ``{site: array[draw, ...]}``, for many an axis of observations before it.

        Returns:
            ``[draw]``, or ``[observation, draw]``.

        Raises:
            ValueError: A site is missing, or has another shape.
        """
        count = len(next(iter(self.observed.values()))) if self.many else None
        z = self.coordinates.pull(flatten_values(values, self.coordinates.shapes, count))
        log_q = self._log_prob_at(z.reshape(count or 1, -1, z.shape[-1]))
        return log_q if self.many else log_q[0]

    def quantiles(
        self, rng_key: jax.Array, probabilities: Any, num_draws: int = 4000
    ) -> dict[str, np.ndarray]:
        """Quantiles of every element, from draws.

        Args:
            rng_key: Random key.
            probabilities: In [0, 1], ``[quantile]``.
            num_draws: Draws for each observation.

        Returns:
            ``{site: array[quantile, ...]}``, for many ``[quantile, observation, ...]``.
        """
        drawn = self.sample(rng_key, num_draws)
        return {name: np.quantile(x, probabilities, int(self.many)) for name, x in drawn.items()}

    def mode(self, rng_key: jax.Array, num_draws: int = 1000) -> dict[str, np.ndarray]:
        """The values of highest density, in the model's own space, given one observation.

        Args:
            rng_key: Random key.
            num_draws: Draws among which the search begins.
        """
        check_rng_key("NeuralPosterior.mode", rng_key, "posterior.mode(jax.random.key(0))")
        self._refuse_many("mode")
        z = self._draw(rng_key, num_draws)[0]
        found = find_mode(self._log_prob_at, z)
        return {name: x[0] for name, x in self.coordinates.push(found[None]).items()}

    def correct(
        self,
        rng_key: jax.Array,
        settings: Correction | None = None,
        *,
        posterior_predictive: bool = False,
        progress_bar: bool = True,
    ) -> CorrectedPosterior:
        """Move draws to the posterior itself by the density of the model.

        By importance resampling where k-hat is at most 0.7, else by sequential Monte Carlo from
        the network's answer. It tells the evidence too.

        Args:
            rng_key: Random key.
            settings: What is wanted and what it may cost.
            posterior_predictive: Whether to draw data too.
            progress_bar: Whether to draw a bar where there is a terminal.

        Raises:
            ValueError: There are many observations, or the model has no such density.
        """
        check_rng_key("NeuralPosterior.correct", rng_key, "posterior.correct(jax.random.key(0))")
        self._refuse_many("correct")
        if self.bound is None:
            refuse_without_density([site.name for site in self.coordinates.sites])
        keys = iter(jax.random.split(rng_key, 4))
        found = correct_answer(
            lambda count: self._draw_scored(next(keys), count),
            density_of(self.bound),
            settings or Correction(),
            seed=whole_seed_from(rng_key),
            progress_bar=progress_bar,
        )
        draws = self._score(rng_key, found.points, posterior_predictive)
        return CorrectedPosterior(draws, found)

    def surprise(self) -> Surprise:
        """How far the observations lie from what was simulated, 600 simulations at least."""
        return self.trained.familiar.measure(self.observed)

    def to_datatree(self, rng_key: jax.Array, num_draws: int = 4000) -> xarray.DataTree:
        """Draw, as an ArviZ tree: ``posterior.draws(...).to_datatree()``."""
        return self.draws(rng_key, num_draws).to_datatree()

    def _draw(self, rng_key: jax.Array, num_draws: int) -> np.ndarray:
        seed = whole_seed_from(rng_key)
        return self.amortized.sample(self.observed, num_draws, seed)

    def _draw_scored(self, rng_key: jax.Array, num_draws: int) -> tuple[np.ndarray, np.ndarray]:
        z = self._draw(rng_key, num_draws)
        if self.bound is not None:
            # What the model sees is rounded; both densities must be those of the same point.
            z = z.astype(self.bound.call.dtype).astype(float)
        return z[0], self.amortized.log_q(z, self.observed)[0]

    def _score(self, rng_key: jax.Array, points: Points, posterior_predictive: bool) -> Draws:
        rng = make_generator(rng_key)
        with x64_scope(self.bound.x64):
            return score_points(rng, self.bound, points, posterior_predictive=posterior_predictive)

    def _log_prob_at(self, z: np.ndarray) -> np.ndarray:
        """Log density in the model's own space at coordinates ``[..., dim]``: ``[...]``."""
        log_q = self.amortized.log_q(z.reshape(-1, *z.shape[-2:]), self.observed)
        log_jacobian = self.coordinates.log_jacobian(z.reshape(-1, z.shape[-1]))
        return log_q.reshape(z.shape[:-1]) - log_jacobian.reshape(z.shape[:-1])

    def _refuse_many(self, called: str) -> None:
        if self.many:
            refuse_many(called)
