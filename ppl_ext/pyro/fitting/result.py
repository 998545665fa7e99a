"""What `fit` returns: the fitted guide, its draws and its verdict."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyro
import torch
from scipy.linalg import cholesky

from ppl_ext.density import Density
from ppl_ext.diagnostics import Gaussian, Report, judge, plan_batches
from ppl_ext.draws.draws import Draws
from ppl_ext.fitting.loop import FitLog
from ppl_ext.gaussian_vi import GaussianSolution, respond_linearly
from ppl_ext.pyro.fitting.guide_draws import draw_gaussian, draw_guide
from ppl_ext.pyro.guides import AutoFullRank
from ppl_ext.pyro.guides.gaussian import AbstractGaussianGuide
from ppl_ext.pyro.tracing.batching import model_scope
from ppl_ext.pyro.tracing.bound_model import Program
from ppl_ext.pyro.tracing.isolation import own_param_store, own_random_state

__all__ = ["Fit", "parameters_of"]


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted guide.

    Args:
        guide: The guide, with its fitted parameters.
        params: The parameters of guide and model by their names in the parameter store.
        log: What the optimisation did and why it ended.
        density: The log density that was fitted; None where the model sees minibatches or has
            parameters of its own.
        solution: The solver's Gaussian; None after a stochastic fit.
        model: The model.
        args: Its positional arguments.
        kwargs: Its keyword arguments.

    Example:
        >>> import pyro, pyro.distributions as dist, torch
        >>> from ppl_ext.pyro import fit
        >>> def model(y):
        ...     mu = pyro.sample("mu", dist.Normal(0.0, 10.0))
        ...     with pyro.plate("row", len(y)):
        ...         pyro.sample("y", dist.Normal(mu, 1.0), obs=y)
        >>> fitted = fit(model, None, torch.tensor([2.0, 3.0, 4.0]))
        >>> fitted.draws(1000).values["mu"].shape
        (1000,)
    """

    guide: Callable[..., Any]
    params: Mapping[str, torch.Tensor]
    log: FitLog
    density: Density | None
    solution: GaussianSolution | None
    model: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    _program: Program | None = field(default=None, repr=False)
    _store: dict | None = field(default=None, repr=False)
    _reports: list[Report] = field(default_factory=list, repr=False)

    def draws(self, num_draws: int, *, posterior_predictive: bool = False, seed: int = 0) -> Draws:
        """Draw from the guide, with both log densities and the log likelihood of every datum.

        The draws are those of the guide as it is; ``.resample(seed)`` moves them to the
        posterior. Where model and guide draw minibatches, every row is used here. Predicted data
        are drawn given the latent sites and, where a datum depends on others, the observed ones.

        Args:
            num_draws: Number of draws.
            posterior_predictive: Whether to draw data for every observed site too.
            seed: Seed of the draws; the random state of torch is left as it was.

        Returns:
            The draws.

        Raises:
            ValueError: ``num_draws`` is not positive.
        """
        if num_draws < 1:
            raise ValueError(
                f"Fit.draws: num_draws = {num_draws}; expected a positive whole number, such as "
                "fit.draws(4000)."
            )
        return self._draw(num_draws, seed, posterior_predictive=posterior_predictive)[0]

    def report(self) -> Report:
        """Judge the fit by twenty thousand draws; made once and kept.

        Returns:
            The verdict with the numbers behind it; print it.

        Raises:
            ValueError: The model's density is zero or not finite at every draw.
        """
        if not self._reports:
            # Other draws than those of draws(...) with a small seed.
            width = sum(array[0].size for array in self._draw(1, 0)[0].values.values())
            count, rows = plan_batches(width)
            seeds = np.random.SeedSequence(0).generate_state(count)
            batches = (self._draw(rows, int(seed), likelihood=False)[0] for seed in seeds)
            self._reports.append(
                judge(batches, self.log, density=self.density, gaussian=self._gaussian(rows))
            )
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
                "optimizer=Stochastic(): fit(model, AutoMeanField(model), ...)."
            )
        covariance = respond_linearly(self.density, self.solution)
        scale_tril = cholesky(covariance, lower=True)
        with model_scope(), own_random_state(0):
            guide = AutoFullRank(self.model, prefix=self.guide._prefix)
            guide.setup(*self.args, **self.kwargs)
        guide.set_gaussian(self.solution.loc, scale_tril)
        return replace(
            self,
            guide=guide,
            params=parameters_of(guide, None),
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
        from ppl_ext.pyro.fitting.saving import save_fit

        save_fit(self, path)

    def _draw(self, num_draws: int, seed: int, **what: bool) -> tuple[Draws, np.ndarray]:
        if self._program is not None and isinstance(self.guide, AbstractGaussianGuide):
            gaussian = Gaussian(*self.guide.gaussian())
            batched = self.density.batched
            return draw_gaussian(self._program, gaussian, num_draws, seed, batched=batched, **what)
        with own_param_store(self._store):
            return draw_guide(
                self.model, self.guide, self.args, self.kwargs, num_draws, seed, **what
            )

    def _gaussian(self, num_draws: int) -> Gaussian | None:
        """The guide on unconstrained space, or a Gaussian with the moments of its draws."""
        if self.density is None:
            return None
        if isinstance(self.guide, AbstractGaussianGuide):
            return Gaussian(*self.guide.gaussian())
        return Gaussian.match(self._draw(num_draws, 0, likelihood=False)[1])


def parameters_of(guide: Callable[..., Any], store: dict | None) -> dict[str, torch.Tensor]:
    """The parameters of a parameter store's state, or of a guide that is a module."""
    if store is not None:
        with own_param_store(store):
            named = dict(pyro.get_param_store().items())
    else:
        named = {f"{guide._pyro_name}.{name}": p for name, p in guide.named_pyro_params()}
    return {name: value.detach().clone() for name, value in named.items()}
