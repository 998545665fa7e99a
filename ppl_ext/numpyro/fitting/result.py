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

from ppl_ext.density import Density
from ppl_ext.diagnostics import Gaussian, Report, judge, plan_batches
from ppl_ext.draws.draws import Draws
from ppl_ext.fit_file import SavedFit, check_guide_kind
from ppl_ext.fitting.calls import check_count
from ppl_ext.fitting.fit_log import FitLog
from ppl_ext.gaussian_vi import GaussianSolution, measure_response, respond_linearly
from ppl_ext.numpyro.fitting.guide_draws import draw_gaussian, draw_guide
from ppl_ext.numpyro.fitting.saved_parameters import describe_flow, flatten_parameters
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
SAVED_GUIDES = {
    "AutoFlow": AutoFlow,
    "AutoFullRank": AutoFullRank,
    "AutoMeanField": AutoMeanField,
}


@dataclass(frozen=True, eq=False, repr=False)
class Fit:
    """A fitted guide.

    Args:
        guide: The guide; where it is one of ours, the fit's own copy of it.
        params: Its parameters, ready for ``guide.sample_posterior(rng_key, params)``.
        log: What the optimisation did and why it ended.
        density: The log density that was fitted; None where the model sees minibatches or has
            parameters of its own.
        solution: The solver's Gaussian; None after a stochastic fit.
        bound: The model with its arguments, in the precision in which the fit ran.

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
        Fit(AutoFullRank, ELBO -6.66, converged)
    """

    guide: Callable[..., Any]
    params: Mapping[str, Any]
    log: FitLog
    density: Density | None
    solution: GaussianSolution | None
    bound: BoundModel
    _reports: list[Report] = field(default_factory=list)

    def __repr__(self) -> str:
        elbo = -self.log.final_loss if self.solution is None else self.solution.elbo
        words = [getattr(self.guide, "__name__", type(self.guide).__name__)]
        if self._reports:
            elbo = self._reports[0].elbo
            words.append(self._reports[0].verdict)
        return f"Fit({', '.join([*words, f'ELBO {elbo:,.2f}', self.log.end])})"

    @in_turn
    def draws(
        self, rng_key: jax.Array, num_draws: int = 4000, *, posterior_predictive: bool = False
    ) -> Draws:
        """Draw from the guide, with both log densities and the log likelihood of every datum.

        The draws are those of the guide as it is; ``.resample(seed)`` moves them to the
        posterior. Where model and guide draw minibatches, every row is used here. Predicted data
        are drawn given the latent sites and, where a datum depends on others, the observed ones.

        Args:
            rng_key: Random key.
            num_draws: Number of draws.
            posterior_predictive: Whether to draw data for every observed site too.

        Returns:
            The draws.

        Raises:
            ValueError: ``rng_key`` is no key, or ``num_draws`` no positive whole number.
        """
        check_rng_key("Fit.draws", rng_key, "fit.draws(jax.random.key(0))")
        check_count("Fit.draws", "num_draws", num_draws, "fit.draws(rng_key, 4000)")
        return self._draw(rng_key, num_draws, posterior_predictive=posterior_predictive)

    def to_datatree(
        self, rng_key: jax.Array, num_draws: int = 4000, *, posterior_predictive: bool = False
    ) -> "xarray.DataTree":
        """Draw from the guide, as an ArviZ tree: ``fit.draws(...).to_datatree()``.

        Args:
            rng_key: Random key.
            num_draws: Number of draws.
            posterior_predictive: Whether to draw data for every observed site too.

        Returns:
            The tree.

        Raises:
            ValueError: ``rng_key`` is no key, or ``num_draws`` no positive whole number.
        """
        draws = self.draws(rng_key, num_draws, posterior_predictive=posterior_predictive)
        return draws.to_datatree()

    @in_turn
    def report(self) -> Report:
        """Judge the fit by twenty thousand draws; made once and kept.

        Returns:
            The verdict with the numbers behind it; print it.

        Raises:
            ValueError: The model's density is zero or not finite at every draw.
        """
        if not self._reports:
            self._reports.append(self._judge())
        return self._reports[0]

    @in_turn
    def linear_response(self) -> "Fit":
        """Repair the standard deviations and correlations of a mean-field fit.

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
        covariance = respond_linearly(self.density, self.solution)
        solution = measure_response(self.density, self.solution, covariance)
        with x64_scope(self.bound.x64):
            guide = AutoFullRank(self.guide.model, prefix=self.guide.prefix)
            guide._set_up(self.bound)
            params = guide.set_gaussian(solution.loc, solution.scale)
            params = {name: np.asarray(value) for name, value in params.items()}
        return replace(self, guide=guide, params=params, solution=solution, _reports=[])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fit to one safetensors file; see `load`.

        Args:
            path: Where to; customarily ``*.safetensors``.

        Raises:
            ValueError: The guide is not one of this package.
        """
        saved = SavedFit(
            guide=check_guide_kind(self.guide, SAVED_GUIDES, "numpy.savez(path, **fit.params)"),
            sites={site.name: site.shape for site in self.guide.sites},
            params=flatten_parameters(self.params),
            log=self.log,
            solution=self.solution,
            settings={
                "prefix": self.guide.prefix,
                "x64": self.bound.x64,
                **describe_flow(self.guide),
            },
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

    def _judge(self) -> Report:
        """Draw in batches of bounded memory and judge."""
        sites = self.bound.whole.sites
        width = sum(math.prod(site.shape) for site in (*sites.latents, *sites.deterministics))
        count, rows = plan_batches(width)
        # Other draws than those of a user's small seeds; splitting a key would compile.
        seeds = np.random.SeedSequence(0).generate_state(count)
        batches = (self._draw(jax.random.key(seed), rows, likelihood=False) for seed in seeds)
        gaussian = self._gaussian
        if gaussian is None and self.density is not None:
            gaussian = self._match_moments(rows)
        return judge(batches, self.log, density=self.density, gaussian=gaussian)

    def _match_moments(self, num_draws: int) -> Gaussian:
        """A Gaussian with the moments of the guide's draws on unconstrained space."""
        rng_key = jax.random.key(0)
        with x64_scope(self.bound.x64):
            _, z = draw_guide(rng_key, self.bound, self.guide, self.params, num_draws)
        return Gaussian.match(z)
