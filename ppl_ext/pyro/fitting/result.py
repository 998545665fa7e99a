"""What `fit` returns: the fitted guide, its draws and its verdict."""

import functools
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyro
import torch

from ppl_ext.climbing import Climb, count_draws, draw_points, pack_climb
from ppl_ext.density import Density
from ppl_ext.diagnostics import Gaussian, Report, judge, plan_batches
from ppl_ext.draws.draws import Draws
from ppl_ext.fit_file import SavedFit, check_guide_kind
from ppl_ext.fit_page import AbstractFit
from ppl_ext.fitting.fit_log import FitLog
from ppl_ext.gaussian_vi import GaussianSolution
from ppl_ext.pyro.fitting.guide_draws import draw_flat, draw_guide, score_points
from ppl_ext.pyro.fitting.linear_response import repair_spread
from ppl_ext.pyro.fitting.own_copies import read_params
from ppl_ext.pyro.guides.flat import AbstractFlatGuide
from ppl_ext.pyro.guides.flow import AutoFlow
from ppl_ext.pyro.guides.full_rank import AutoFullRank
from ppl_ext.pyro.guides.gaussian import AbstractGaussianGuide
from ppl_ext.pyro.guides.mean_field import AutoMeanField
from ppl_ext.pyro.tracing.bound_model import BoundModel
from ppl_ext.pyro.tracing.held_parameters import HeldStore
from ppl_ext.pyro.tracing.isolation import choose_seed, own_param_store
from ppl_ext.pyro.tracing.turns import in_turn

if TYPE_CHECKING:
    import xarray

__all__ = ["SAVED_GUIDES", "Fit"]

# A file names its guide by a word of this table and never by an import path.
SAVED_GUIDES = {kind.__name__: kind for kind in (AutoFlow, AutoFullRank, AutoMeanField)}


@dataclass(frozen=True, eq=False, repr=False)
class Fit(AbstractFit):
    """A fitted guide, and the way from it to draws that can be trusted.

    Args:
        guide: The fit's own copy of the guide, with its fitted parameters.
        params: The parameters of guide and model by their names in the parameter store.
        log: What the optimisation did and why it ended.
        density: The log density that was fitted, parameters of the model at their optimum; None
            where the model sees minibatches or has parameters fitted by stochastic gradients.
        solution: The solver's Gaussian; None after a stochastic fit.
        bound: The model with its arguments.
        climb: The steps beyond the first guide, with the draws of the last where it is no
            guide's; None where there was no climb.

    Example:
        >>> import pyro, pyro.distributions as dist, torch
        >>> from ppl_ext.pyro import fit
        >>> def model(y):
        ...     mu = pyro.sample("mu", dist.Normal(0.0, 10.0))
        ...     with pyro.plate("row", len(y)):
        ...         pyro.sample("y", dist.Normal(mu, 1.0), obs=y)
        >>> fitted = fit(model, torch.tensor([2.0, 3.0, 4.0]))
        >>> fitted.draws(1000).values["mu"].shape
        (1000,)
        >>> print(fitted)
        Fit(AutoFullRank, good, ELBO -6.66, converged)
    """

    guide: Callable[..., Any]
    params: Mapping[str, torch.Tensor]
    log: FitLog
    density: Density | None
    solution: GaussianSolution | None
    bound: BoundModel
    climb: Climb | None = None
    _store: HeldStore | None = None
    _reports: list[Report] = field(default_factory=list)

    @in_turn
    def draws(
        self,
        num_draws: int | None = None,
        *,
        posterior_predictive: bool = False,
        seed: int | None = None,
    ) -> Draws:
        """Draw from what was reached, with densities and the log likelihood of every datum.

        Those of a guide are its draws as they are; ``.resample(seed)`` moves them to the
        posterior. A fit that climbed beyond its guide gives draws of the posterior, resampled or
        from chains. Where model and guide draw minibatches, every row is used here. Predicted
        data are drawn given the latent sites and, where a datum depends on others, the observed
        ones.

        Args:
            num_draws: Number of draws; None for 4,000, or for all where chains have left fewer.
            posterior_predictive: Whether to draw data for every observed site too.
            seed: Seed of the draws, which leaves the random state of torch as it was; None draws
                a seed from it, so that ``pyro.set_rng_seed`` decides.

        Returns:
            The draws.

        Raises:
            ValueError: ``num_draws`` is no positive whole number or more than chains have left.
        """
        count = count_draws(self.climb, num_draws, "fit.draws(4000)")
        seed = choose_seed(seed)
        what = {"posterior_predictive": posterior_predictive}
        if self.climb is None or not self.climb.leaves_guide:
            return self._draw(count, seed, **what)[0]
        rng = np.random.default_rng(seed)
        points = draw_points(self.density, self._gaussian, self.climb, count, rng)
        return score_points(self.bound, points, seed, batched=self.density.batched, **what)

    def to_datatree(
        self,
        num_draws: int | None = None,
        *,
        posterior_predictive: bool = False,
        seed: int | None = None,
    ) -> "xarray.DataTree":
        """Draw, as an ArviZ tree: ``fit.draws(...).to_datatree()``.

        Args:
            num_draws: Number of draws, as in ``draws``.
            posterior_predictive: Whether to draw data for every observed site too.
            seed: Seed of the draws, as in ``draws``.

        Returns:
            The tree.

        Raises:
            ValueError: As ``draws``.
        """
        draws = self.draws(num_draws, posterior_predictive=posterior_predictive, seed=seed)
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
                "optimizer=Stochastic(): fit(model, *args, guide=AutoMeanField)."
            )
        guide, solution = repair_spread(self.bound, self.guide, self.density, self.solution)
        kept = {"params": read_params(guide, self._store), "climb": None, "_reports": []}
        return replace(self, guide=guide, solution=solution, **kept)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fit to one safetensors file; see `load`.

        Args:
            path: Where to; customarily ``*.safetensors``.

        Raises:
            ValueError: The guide is not one of this package.
        """
        line = "torch.save(dict(fit.params), path)"
        kind = check_guide_kind(self.guide, SAVED_GUIDES, line)
        if self.bound.sites.parameters:
            raise ValueError(
                f"Fit.save: the model has learnable parameters {list(self.bound.sites.parameters)}"
                " that were fitted by stochastic gradients; expected a fit of the deterministic "
                f"solver. Keep them yourself: {line}."
            )
        saved = SavedFit(
            guide=kind,
            sites={site: tuple(shape) for site, shape in self.guide._shapes.items()},
            params={key: value.cpu().numpy() for key, value in self.guide.state_dict().items()},
            log=self.log,
            solution=self.solution,
            settings={"flow": self.guide.flow.settings} if kind == "AutoFlow" else {},
            climb=None if self.climb is None else pack_climb(self.climb),
            centering=self.bound.centering,
            theta=None if self.bound.held is None else self.bound.held.theta,
        )
        saved.write(path, host="pyro", host_version=pyro.__version__)

    @functools.cached_property
    def _gaussian(self) -> Gaussian | None:
        """The guide on unconstrained space where it is a Gaussian."""
        if not isinstance(self.guide, AbstractGaussianGuide):
            return None
        return Gaussian(*self.guide.gaussian())

    def _draw(self, num_draws: int, seed: int, **what: bool) -> tuple[Draws, np.ndarray]:
        """The draws, and the same draws on unconstrained space."""
        if self.density is not None and isinstance(self.guide, AbstractFlatGuide):
            batched = self.density.batched
            return draw_flat(self.bound, self.guide, num_draws, seed, batched=batched, **what)
        with own_param_store() if self._store is None else self._store.in_force():
            return draw_guide(self.bound, self.guide, num_draws, seed, **what)

    @in_turn
    def _draw_page(self) -> tuple[Draws, Draws]:
        draws = self.draws(seed=0)
        return draws, self._draw(4000, 0, likelihood=False)[0] if draws.resampled else draws

    def _describe(self) -> tuple[dict[str, tuple[int, ...]], tuple[str, ...]]:
        return dict(self.bound.sites.valued), ("pyro-ppl", "torch")

    def _judge(self) -> Report:
        """Draw in batches of bounded memory and judge."""
        width = sum(math.prod(shape) for shape in self.bound.whole.sites.valued.values())
        count, rows = plan_batches(width)
        # Other draws than those of draws(...) with a small seed.
        seeds = np.random.SeedSequence(0).generate_state(count)
        batches = (self._draw(rows, int(seed), likelihood=False)[0] for seed in seeds)
        gaussian = self._gaussian
        if self.density is None:
            gaussian = None
        elif gaussian is None:
            gaussian = Gaussian.match(self._draw(rows, 0, likelihood=False)[1])
        return judge(batches, self.log, density=self.density, gaussian=gaussian)
