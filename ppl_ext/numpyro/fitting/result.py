"""What `fit` returns: the fitted guide, its draws and its verdict."""

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np
from scipy.linalg import cholesky

from ppl_ext.density import Density
from ppl_ext.diagnostics.report import Report, judge, plan_batches
from ppl_ext.diagnostics.tails_and_modes import Gaussian
from ppl_ext.draws.draws import Draws
from ppl_ext.fitting.loop import FitLog
from ppl_ext.gaussian_vi import GaussianSolution, respond_linearly
from ppl_ext.numpyro.fitting.guide_draws import draw_gaussian, draw_guide
from ppl_ext.numpyro.guides.full_rank import AutoFullRank
from ppl_ext.numpyro.guides.gaussian import AbstractAutoGaussian
from ppl_ext.numpyro.tracing.bound_model import seed_from, x64_scope
from ppl_ext.numpyro.tracing.density import inspect_call
from ppl_ext.numpyro.tracing.find_sites import inspect_model

__all__ = ["Fit"]


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted guide.

    Args:
        guide: The guide.
        params: Its parameters, ready for ``guide.sample_posterior(rng_key, params)``.
        log: What the optimisation did and why it ended.
        density: The log density that was fitted; None where the model sees minibatches or has
            parameters of its own.
        solution: The solver's Gaussian; None after a stochastic fit.
        model: The model.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        x64: Whether the fit ran, and its draws run, in float64.

    Example:
        >>> import jax, numpy as np, numpyro, numpyro.distributions as dist
        >>> from ppl_ext.numpyro import fit
        >>> def model(y):
        ...     mu = numpyro.sample("mu", dist.Normal(0.0, 10.0))
        ...     with numpyro.plate("row", len(y)):
        ...         numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)
        >>> fitted = fit(jax.random.key(0), model, None, np.array([2.0, 3.0, 4.0]))
        >>> fitted.draws(jax.random.key(1), 1000).values["mu"].shape
        (1000,)
    """

    guide: Callable[..., Any]
    params: Mapping[str, Any]
    log: FitLog
    density: Density | None
    solution: GaussianSolution | None
    model: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    x64: bool = False
    _reports: list[Report] = field(default_factory=list, repr=False)

    def draws(
        self, rng_key: jax.Array, num_draws: int, *, posterior_predictive: bool = False
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
            ValueError: ``num_draws`` is not positive.
        """
        if num_draws < 1:
            raise ValueError(
                f"Fit.draws: num_draws = {num_draws}; expected a positive whole number, such as "
                "fit.draws(rng_key, 4000)."
            )
        return self._draw(rng_key, num_draws, posterior_predictive=posterior_predictive)

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
                "optimizer=Stochastic(): fit(rng_key, model, AutoMeanField(model), ...)."
            )
        covariance = respond_linearly(self.density, self.solution)
        scale_tril = cholesky(covariance, lower=True)
        with x64_scope(self.x64):
            guide = AutoFullRank(self.guide.model, prefix=self.guide.prefix)
            guide._setup_prototype(*self.args, **self.kwargs)
            params = guide.set_gaussian(self.solution.loc, scale_tril)
            params = {name: np.asarray(value) for name, value in params.items()}
        return replace(
            self,
            guide=guide,
            params=params,
            solution=replace(self.solution, scale=scale_tril),
            _reports=[],
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fit to one safetensors file; see `load`.

        Args:
            path: Where to; customarily ``*.safetensors``.

        Raises:
            ValueError: The guide is not one of this package.
        """
        from ppl_ext.numpyro.fitting.saving import save_fit

        save_fit(self, path)

    def _draw(self, rng_key: jax.Array, num_draws: int, **what: bool) -> Draws:
        gaussian = self._gaussian()
        with x64_scope(self.x64):
            call, arrays, inspection = inspect_call(
                "Fit.draws", self.model, self.args, self.kwargs
            )
            if gaussian is not None and not inspection.parameters:
                return draw_gaussian(seed_from(rng_key), call, arrays, gaussian, num_draws, **what)
            return draw_guide(rng_key, call, arrays, self.guide, self.params, num_draws, **what)[0]

    def _gaussian(self) -> Gaussian | None:
        """The guide on unconstrained space where it is a Gaussian."""
        if not isinstance(self.guide, AbstractAutoGaussian):
            return None
        with x64_scope(self.x64):
            loc, scale = self.guide.gaussian(self.params)
        return Gaussian(np.asarray(loc, np.float64), np.asarray(scale, np.float64))

    def _judge(self) -> Report:
        """Draw in batches of bounded memory and judge."""
        with x64_scope(self.x64):
            call, _, _ = inspect_call("Fit.report", self.model, self.args, self.kwargs)
            inspection = inspect_model(call, whole=True)
        shapes = [site.shape for site in inspection.latents]
        shapes += [shape for shape, _ in inspection.deterministics.values()]
        width = sum(math.prod(shape) for shape in shapes)
        count, rows = plan_batches(width)
        keys = jax.random.split(jax.random.key(0), count)
        batches = (self._draw(key, rows, likelihood=False) for key in keys)
        gaussian = self._gaussian()
        if gaussian is None and self.density is not None:
            gaussian = self._match_moments(rows)
        return judge(batches, self.log, density=self.density, gaussian=gaussian)

    def _match_moments(self, num_draws: int) -> Gaussian:
        """A Gaussian with the moments of the guide's draws on unconstrained space."""
        with x64_scope(self.x64):
            call, arrays, _ = inspect_call("Fit.report", self.model, self.args, self.kwargs)
            _, z = draw_guide(jax.random.key(0), call, arrays, self.guide, self.params, num_draws)
        return Gaussian.match(z)
