"""What `fit` returns: the fitted guide, its draws and its verdict."""

import functools
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import numpyro

from ppl_ext.climbing import Climb, count_draws, draw_points, pack_climb
from ppl_ext.density import Density
from ppl_ext.diagnostics import Gaussian, Report, judge, plan_batches
from ppl_ext.draws.draws import Draws
from ppl_ext.fit_file import SavedFit, check_guide_kind
from ppl_ext.fit_page import AbstractFit
from ppl_ext.fitting.fit_log import FitLog
from ppl_ext.gaussian_vi import GaussianSolution
from ppl_ext.numpyro.fitting.guide_draws import draw_gaussian, draw_guide, score_points
from ppl_ext.numpyro.fitting.linear_response import repair_spread
from ppl_ext.numpyro.fitting.parameters import read_parameters
from ppl_ext.numpyro.fitting.saved_parameters import describe_guide, flatten_parameters
from ppl_ext.numpyro.guides.flow import AutoFlow
from ppl_ext.numpyro.guides.full_rank import AutoFullRank
from ppl_ext.numpyro.guides.gaussian import AbstractGaussianGuide
from ppl_ext.numpyro.guides.mean_field import AutoMeanField
from ppl_ext.numpyro.tracing.bound_model import BoundModel, x64_scope
from ppl_ext.numpyro.tracing.rng_keys import check_rng_key, seed_from
from ppl_ext.numpyro.tracing.turns import in_turn

if TYPE_CHECKING:
    import xarray

__all__ = ["SAVED_GUIDES", "Fit"]

# A file names its guide by a word of this table and never by an import path.
SAVED_GUIDES = {kind.__name__: kind for kind in (AutoFlow, AutoFullRank, AutoMeanField)}


@dataclass(frozen=True, eq=False, repr=False)
class Fit(AbstractFit):
    """A fitted guide, and the way from it to draws that can be trusted.

    Args:
        guide: The guide; where it is one of ours, the fit's own copy of it.
        params: Its parameters and those of the model, as the host's ``SVI`` keeps them, ready for
            ``guide.sample_posterior(rng_key, params)``.
        log: What the optimisation did and why it ended.
        density: The log density that was fitted, parameters of the model at their optimum; None
            where the model sees minibatches or has parameters fitted by stochastic gradients.
        solution: The solver's Gaussian; None after a stochastic fit.
        bound: The model with its arguments, in the precision in which the fit ran.
        climb: The steps beyond the first guide, with the draws of the last where it is no
            guide's; None where there was no climb.

    Example:
        >>> import jax, numpy as np, numpyro, numpyro.distributions as dist
        >>> from ppl_ext.numpyro import fit
        >>> def model(y):
        ...     mu = numpyro.sample("mu", dist.Normal(0.0, 10.0))
        ...     with numpyro.plate("row", len(y)):
        ...         numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)
        >>> fitted = fit(jax.random.key(0), model, np.array([2.0, 3.0, 4.0]))
        >>> fitted.draws(jax.random.key(1), 1000).values["mu"].shape
        (1000,)
        >>> print(fitted)
        Fit(AutoFullRank, good, ELBO -6.66, converged)
    """

    guide: Callable[..., Any]
    params: Mapping[str, Any]
    log: FitLog
    density: Density | None
    solution: GaussianSolution | None
    bound: BoundModel
    climb: Climb | None = None
    _reports: list[Report] = field(default_factory=list)

    @in_turn
    def draws(
        self,
        rng_key: jax.Array,
        num_draws: int | None = None,
        *,
        posterior_predictive: bool = False,
    ) -> Draws:
        """Draw from what was reached, with densities and the log likelihood of every datum.

        Those of a guide are its draws as they are; ``.resample(seed)`` moves them to the
        posterior. A fit that climbed gives draws of the posterior, resampled or from chains.
        Minibatches are none here: all rows count. Predicted data are drawn given the latent sites
        and, where a datum depends on others, the observed ones. Discrete sites that were summed
        out are drawn given the rest; data that share some have no log likelihood of their own.

        Args:
            rng_key: Random key.
            num_draws: Number of draws; None for 4,000, or for all where chains have left fewer.
            posterior_predictive: Whether to draw data for every observed site too.

        Returns:
            The draws.

        Raises:
            ValueError: ``rng_key`` is no key, or ``num_draws`` no positive whole number or more
                than chains have left.
        """
        check_rng_key("Fit.draws", rng_key, "fit.draws(jax.random.key(0))")
        count = count_draws(self.climb, num_draws, "fit.draws(rng_key, 4000)")
        what = {"posterior_predictive": posterior_predictive}
        if self.climb is None or not self.climb.leaves_guide:
            return self._draw(rng_key, count, **what)
        rng = np.random.default_rng(seed_from(rng_key))
        points = draw_points(self.density, self._gaussian, self.climb, count, rng)
        with x64_scope(self.bound.x64):
            return score_points(rng, self.bound, points, **what)

    def to_datatree(
        self,
        rng_key: jax.Array,
        num_draws: int | None = None,
        *,
        posterior_predictive: bool = False,
    ) -> "xarray.DataTree":
        """Draw, as an ArviZ tree: ``fit.draws(...).to_datatree()``.

        Args:
            rng_key: Random key.
            num_draws: Number of draws, as in ``draws``.
            posterior_predictive: Whether to draw data for every observed site too.

        Returns:
            The tree.

        Raises:
            ValueError: As ``draws``.
        """
        draws = self.draws(rng_key, num_draws, posterior_predictive=posterior_predictive)
        return draws.to_datatree()

    @in_turn
    def report(self) -> Report:
        """Judge the draws, by twenty thousand of the guide's; made once and kept.

        Returns:
            The verdict with the numbers behind it; print it.

        Raises:
            ValueError: The model's density is zero or not finite at every draw.
        """
        if not self._reports:
            report = self._judge()
            self._reports.append(report if self.climb is None else self.climb.conclude(report))
        return self._reports[0]

    @in_turn
    def linear_response(self) -> "Fit":
        """Repair the standard deviations and correlations of a mean-field fit.

        Parameters of the model stay where they are: the response is that of the means alone.

        Returns:
            A fit of the same mean whose guide is full rank and has the covariance of
            `ppl_ext.gaussian_vi.respond_linearly`.

        Raises:
            ValueError: The fit is not one of ``AutoMeanField`` by the deterministic solver, or
                is no strict optimum.
        """
        if self.density is None or self.solution is None:
            raise ValueError(
                f"Fit.linear_response: {type(self.guide).__name__} was fitted by stochastic "
                "gradients; expected a mean-field fit of the deterministic solver. Fit without "
                "optimizer=Stochastic(): fit(rng_key, model, *args, guide=AutoMeanField)."
            )
        guide, params, solution = repair_spread(
            self.bound, self.guide, self.density, self.solution
        )
        return replace(
            self, guide=guide, params=params, solution=solution, climb=None, _reports=[]
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fit to one safetensors file; see `load`.

        Args:
            path: Where to; customarily ``*.safetensors``.

        Raises:
            ValueError: The guide is not one of this package.
        """
        of_model = read_parameters(self.bound)
        own = {k: self.params[k] for k in self.params if k not in of_model}
        saved = SavedFit(
            guide=check_guide_kind(self.guide, SAVED_GUIDES, "numpy.savez(path, **fit.params)"),
            sites={site.name: site.shape for site in self.guide.sites},
            params=flatten_parameters(self.guide, own),
            log=self.log,
            solution=self.solution,
            theta=np.asarray(self.bound.arrays[-1], np.float64) if of_model else None,
            settings=describe_guide(self.guide) | {"x64": self.bound.x64},
            climb=None if self.climb is None else pack_climb(self.climb),
            centering=self.bound.centering,
        )
        saved.write(path, host="numpyro", host_version=numpyro.__version__)

    @functools.cached_property
    def _gaussian(self) -> Gaussian | None:
        """The guide on unconstrained space where it is a Gaussian."""
        if not isinstance(self.guide, AbstractGaussianGuide):
            return None
        with x64_scope(self.bound.x64):
            loc, scale = self.guide.gaussian(self.params)
        return Gaussian(np.asarray(loc, np.float64), np.asarray(scale, np.float64))

    def _draw(self, rng_key: jax.Array, num_draws: int, **what: bool) -> Draws:
        with x64_scope(self.bound.x64):
            if self._gaussian is not None and not self.bound.sites.parameters:
                seed = seed_from(rng_key)
                return draw_gaussian(seed, self.bound, self._gaussian, num_draws, **what)
            return draw_guide(rng_key, self.bound, self.guide, self.params, num_draws, **what)[0]

    @in_turn
    def _draw_page(self) -> tuple[Draws, Draws]:
        draws, key = self.draws(jax.random.key(0)), jax.random.key(0)
        return draws, self._draw(key, 4000, likelihood=False) if draws.resampled else draws

    def _describe(self) -> tuple[dict[str, tuple[int, ...]], tuple[str, ...]]:
        own = self.bound.sites
        sites = {s.name: s.shape for s in (*own.latents, *own.enumerated, *own.deterministics)}
        return sites, ("numpyro", "jax")

    def _judge(self) -> Report:
        """Draw in batches of bounded memory and judge."""
        sites = self.bound.whole.sites
        width = sum(math.prod(site.shape) for site in (*sites.latents, *sites.deterministics))
        count, rows = plan_batches(width)
        # A verdict is on what is fitted: what is drawn given it has the same weights.
        bare = {"likelihood": False, "assignments": False}
        # Other draws than those of a user's small seeds; splitting a key would compile.
        seeds = np.random.SeedSequence(0).generate_state(count)
        batches = (self._draw(jax.random.key(seed), rows, **bare) for seed in seeds)
        gaussian = self._gaussian
        if gaussian is None and self.density is not None:
            with x64_scope(self.bound.x64):
                _, z = draw_guide(jax.random.key(0), self.bound, self.guide, self.params, rows)
            gaussian = Gaussian.match(z)
        return judge(batches, self.log, density=self.density, gaussian=gaussian)
