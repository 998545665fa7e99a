"""What a trained network says of an observation, and of thousands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ppl_ext.calibration import Surprise
from ppl_ext.climbing import Points
from ppl_ext.correction import Correction
from ppl_ext.draws.draws import Draws
from ppl_ext.fitting.calls import check_count
from ppl_ext.npe.answers.correction import CorrectedPosterior, correct_answer
from ppl_ext.npe.answers.mode import find_mode
from ppl_ext.npe.answers.refusals import refuse_many, refuse_without_density
from ppl_ext.npe.answers.values import flatten_values
from ppl_ext.pyro.fitting.guide_draws import score_points
from ppl_ext.pyro.npe.coordinates import Coordinates, to_array
from ppl_ext.pyro.npe.guide import sample_sites
from ppl_ext.pyro.npe.trained import Trained
from ppl_ext.pyro.tracing.bound_model import BoundModel
from ppl_ext.pyro.tracing.density import density_of
from ppl_ext.pyro.tracing.isolation import choose_seed
from ppl_ext.pyro.tracing.turns import in_turn

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
        >>> import numpy as np, pyro, pyro.distributions as dist, torch
        >>> import ppl_ext.pyro as px
        >>> def model(y):
        ...     mu = pyro.sample("mu", dist.Normal(0.0, 1.0))
        ...     pyro.sample("y", dist.Normal(mu, 1.0), obs=y)
        >>> npe = px.NPE(model, torch.tensor(0.0), estimator=px.npe.FullRankGaussian)
        >>> npe = npe.train(2000, progress_bar=False, seed=0)
        >>> posterior = npe.posterior(np.array([-2.0, 2.0]))  # two observations at once
        >>> posterior.sample(1000, seed=1)["mu"].mean(1).round().tolist()
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
        self.trained, self.amortized, self._own = trained, trained.amortized, trained.clone()
        self.coordinates, self.observed, self.bound, self.many = coordinates, observed, bound, many

    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
        """Draw every site of interest once: the guide of the host for one observation.

        For ``Predictive(model, guide=posterior)``, and for ``SVI``, which refines a copy of the
        weights, ``npe_weights``, for this observation alone. The arguments are not read.
        """
        self._refuse_many("__call__")
        f = self.trained.features.apply(self.observed)
        return sample_sites(self._own, self.coordinates, f, "npe")

    @in_turn
    def sample(self, num_draws: int = 1000, *, seed: int | None = None) -> dict[str, np.ndarray]:
        """Draw, without any density: the fast way for many observations.

        Args:
            num_draws: Draws for each observation.
            seed: Seed; None draws one from torch's random state, which else stays as it was.

        Returns:
            ``{site: array[observation, draw, ...]}``, without the first axis for one observation.
        """
        check_count("NeuralPosterior.sample", "num_draws", num_draws, "posterior.sample(1000)")
        z = self.amortized.sample(self.observed, num_draws, choose_seed(seed))
        values = self.coordinates.push(z.reshape(-1, z.shape[-1]))
        shape = z.shape[:2] if self.many else z.shape[1:2]
        return {name: x.reshape(*shape, *x.shape[1:]) for name, x in values.items()}

    @in_turn
    def draws(
        self,
        num_draws: int = 4000,
        *,
        posterior_predictive: bool = False,
        seed: int | None = None,
    ) -> Draws:
        """Draw, with the densities of network and model and the log likelihood of every datum.

        Their difference are the importance weights: ``draws.resample()`` moves the draws to the
        posterior where k-hat allows it, `correct` wherever the model has a density. ``log_p`` is
        NaN where it has none for the sites of interest alone.

        Args:
            num_draws: Number of draws.
            posterior_predictive: Whether to draw data too.
            seed: Seed of the draws, as in `sample`.

        Raises:
            ValueError: There are many observations.
        """
        check_count("NeuralPosterior.draws", "num_draws", num_draws, "posterior.draws(4000)")
        self._refuse_many("draws")
        seed = choose_seed(seed)
        z, log_q = self._draw_scored(seed, num_draws)
        if self.bound is None:
            latents = [site.latent for site in self.coordinates.sites]
            return Draws(
                values=self.coordinates.push(z),
                log_p=np.full(num_draws, np.nan),
                log_q=log_q,
                dims={latent.name: latent.dims for latent in latents if latent.dims},
                observed={name: x[0] for name, x in self.observed.items()},
            )
        return score_points(
            self.bound, Points(z, log_q), seed, posterior_predictive=posterior_predictive
        )

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
        values = {name: to_array(x) for name, x in values.items()}
        z = self.coordinates.pull(flatten_values(values, self.coordinates.shapes, count))
        log_q = self._log_prob_at(z.reshape(count or 1, -1, z.shape[-1]))
        return log_q if self.many else log_q[0]

    def quantiles(
        self, probabilities: Any, num_draws: int = 4000, *, seed: int | None = None
    ) -> dict[str, np.ndarray]:
        """Quantiles of every element, from draws.

        Args:
            probabilities: In [0, 1], ``[quantile]``.
            num_draws: Draws for each observation.
            seed: As in `sample`.

        Returns:
            ``{site: array[quantile, ...]}``, for many ``[quantile, observation, ...]``.
        """
        drawn, levels = self.sample(num_draws, seed=seed), to_array(probabilities)
        return {name: np.quantile(x, levels, int(self.many)) for name, x in drawn.items()}

    @in_turn
    def mode(self, num_draws: int = 1000, *, seed: int | None = None) -> dict[str, np.ndarray]:
        """The values of highest density, in the model's own space, given one observation.

        Args:
            num_draws: Draws among which the search begins.
            seed: Seed of the draws, as in `sample`.
        """
        self._refuse_many("mode")
        z = self.amortized.sample(self.observed, num_draws, choose_seed(seed))[0]
        found = find_mode(self._log_prob_at, z)
        return {name: x[0] for name, x in self.coordinates.push(found[None]).items()}

    @in_turn
    def correct(
        self,
        settings: Correction | None = None,
        *,
        posterior_predictive: bool = False,
        progress_bar: bool = True,
        seed: int | None = None,
    ) -> CorrectedPosterior:
        """Move draws to the posterior itself by the density of the model.

        By importance resampling where k-hat is at most 0.7, else by sequential Monte Carlo from
        the network's answer. It tells the evidence too.

        Args:
            settings: What is wanted and what it may cost.
            posterior_predictive: Whether to draw data too.
            progress_bar: Whether to draw a bar where there is a terminal.
            seed: Seed of the draws, as in `sample`.

        Raises:
            ValueError: There are many observations, or the model has no such density.
        """
        self._refuse_many("correct")
        if self.bound is None:
            refuse_without_density([site.name for site in self.coordinates.sites])
        seed = choose_seed(seed)
        seeds = iter(np.random.SeedSequence(seed).generate_state(4).tolist())
        density = density_of(self.bound)
        found = correct_answer(
            lambda count: self._draw_scored(next(seeds), count),
            density,
            settings or Correction(),
            seed=seed,
            progress_bar=progress_bar,
        )
        draws = score_points(
            self.bound,
            found.points,
            seed,
            posterior_predictive=posterior_predictive,
            batched=density.batched,
        )
        return CorrectedPosterior(draws, found)

    def surprise(self) -> Surprise:
        """How far the observations lie from what was simulated, 600 simulations at least."""
        return self.trained.familiar.measure(self.observed)

    def to_datatree(self, num_draws: int = 4000, *, seed: int | None = None) -> xarray.DataTree:
        """Draw, as an ArviZ tree: ``posterior.draws(...).to_datatree()``."""
        return self.draws(num_draws, seed=seed).to_datatree()

    def _draw_scored(self, seed: int, num_draws: int) -> tuple[np.ndarray, np.ndarray]:
        z = self.amortized.sample(self.observed, num_draws, seed)
        if self.bound is not None:
            # What the model sees is rounded; both densities must be those of the same point.
            z = self.bound.points(z[0]).double().cpu().numpy()[None]
        return z[0], self.amortized.log_q(z, self.observed)[0]

    def _log_prob_at(self, z: np.ndarray) -> np.ndarray:
        """Log density in the model's own space at coordinates ``[..., dim]``: ``[...]``."""
        log_q = self.amortized.log_q(z.reshape(-1, *z.shape[-2:]), self.observed)
        log_jacobian = self.coordinates.log_jacobian(z.reshape(-1, z.shape[-1]))
        return log_q.reshape(z.shape[:-1]) - log_jacobian.reshape(z.shape[:-1])

    def _refuse_many(self, called: str) -> None:
        if self.many:
            refuse_many(called)
