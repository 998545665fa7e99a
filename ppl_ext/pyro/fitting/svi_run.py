"""One start of a stochastic fit on its way through the host's SVI."""

import copy
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from pyro import poutine
from pyro.infer import ELBO, SVI, TraceEnum_ELBO
from pyro.infer.util import zero_grads
from pyro.optim import Adam, PyroOptim
from pyro.poutine.util import site_is_subsample

from ppl_ext.fitting.settings import Stochastic
from ppl_ext.pyro.objectives.stick_the_landing import StickTheLanding
from ppl_ext.pyro.tracing.bound_model import BoundModel

__all__ = ["SVIRun", "Snapshot"]

Snapshot = dict[str, torch.Tensor]


def _make_optimiser(settings: Stochastic) -> PyroOptim:
    """An optimiser that has made no step yet."""
    given = settings.optim
    if given is None:
        return Adam({"lr": settings.step_size})
    if isinstance(given, torch.optim.Optimizer):
        # The host makes one for every parameter, of the class and its settings.
        taken = inspect.signature(type(given)).parameters
        return PyroOptim(
            type(given), {name: x for name, x in given.defaults.items() if name in taken}
        )
    return copy.deepcopy(given)


def _choose_objective(bound: BoundModel, num_particles: int) -> ELBO:
    """An objective that sums the marked sites out where there are some."""
    if not bound.sites.enumerated:
        return StickTheLanding(num_particles)
    nesting = -1 - bound.sites.first_free_dim
    return TraceEnum_ELBO(num_particles=num_particles, max_plate_nesting=nesting)


class SVIRun:
    """A model and a guide in the host's SVI, and what it has reached.

    Args:
        bound: The model.
        guide: The guide.
        settings: Optimiser and objective.
        store: State of the parameter store that is in force.

    Attributes:
        leaves: The parameters as the optimiser sees them.
        average: Average of the iterates since the last change of the step size.
        best: Iterate after the chunk with the lowest mean loss.
        blame: What made the loss stop being finite, in words.
    """

    def __init__(
        self,
        bound: BoundModel,
        guide: Callable[..., Any],
        settings: Stochastic,
        store: dict,
    ) -> None:
        optim = _make_optimiser(settings)
        elbo = settings.elbo or _choose_objective(bound, settings.num_particles)
        self.num_particles = elbo.num_particles
        self.svi = SVI(bound.scored, guide, optim, elbo)
        self.store = store
        self.bound = bound
        self.leaves: dict[str, torch.Tensor] = {}
        self.average: Snapshot | None = None
        self.best: Snapshot | None = None
        self.blame = ""
        self._averaged = 0
        self._best_loss = np.inf
        self._kept: Snapshot = {}
        self._parts: list[tuple] = []

    def look(self) -> None:
        """Runs guide and model once, which creates the parameters that are not there yet."""
        guide_trace, model_trace = self._trace()
        for trace in (guide_trace, model_trace):
            for name in trace.param_nodes:
                self.leaves[name] = trace.nodes[name]["value"].unconstrained()

    def advance(self, steps: int) -> np.ndarray:
        """Makes some steps and returns ``losses[step]``, NaN from the first bad one on.

        A step whose loss or gradient is not finite is not made; an interrupted chunk is undone.
        """
        losses = np.full(steps, np.nan)
        before = self.snapshot()
        args, kwargs = self.bound.args, self.bound.kwargs
        try:
            for step in range(steps):
                random_state = torch.get_rng_state()
                with poutine.trace(param_only=True) as capture:
                    losses[step] = self.svi.loss_and_grads(
                        self.svi.model, self.svi.guide, *args, **kwargs
                    )
                for name, site in capture.trace.nodes.items():
                    self.leaves[name] = site["value"].unconstrained()
                bad = self._bad_gradients()
                if bad or not np.isfinite(losses[step]):
                    torch.set_rng_state(random_state)
                    self.blame = self._find_blame(bad)
                    zero_grads(self.leaves.values())
                    losses[step] = losses[step] if not np.isfinite(losses[step]) else np.nan
                    return losses
                self.svi.optim(self.leaves.values())
                zero_grads(self.leaves.values())
                self._add_to_average()
        except KeyboardInterrupt:
            self.restore(before)
            raise
        if losses.mean() < self._best_loss:
            self._best_loss = float(losses.mean())
            self.best = self.snapshot()
        return losses

    def set_step_size(self, step_size: float) -> None:
        """Changes the step size of the default optimiser and starts its average anew."""
        self.svi.optim.pt_optim_args["lr"] = step_size
        for optimiser in self.svi.optim.optim_objs.values():
            for group in optimiser.param_groups:
                group["lr"] = step_size
        self._averaged = 0

    def score(self, evaluations: int) -> np.ndarray:
        """Losses of fresh draws, ``losses[draw]``."""
        args, kwargs = self.bound.args, self.bound.kwargs
        rounds = -(-evaluations // self.num_particles)
        losses = [
            self.svi.loss(self.svi.model, self.svi.guide, *args, **kwargs) for _ in range(rounds)
        ]
        return np.array(losses)

    def snapshot(self) -> Snapshot:
        """A copy of the parameters."""
        return {name: leaf.detach().clone() for name, leaf in self.leaves.items()}

    def restore(self, snapshot: Snapshot) -> None:
        """Writes a copy back."""
        with torch.no_grad():
            for name, value in snapshot.items():
                self.leaves[name].copy_(value)

    def keep(self) -> None:
        """Keeps the parameters while another start uses the same guide."""
        self._kept = self.snapshot()
        # A guide of the host that looks at the model again makes new modules and parameters.
        guide = self.svi.guide
        self._parts = [
            (module, dict(module._modules), dict(module._parameters))
            for module in (guide.modules() if isinstance(guide, torch.nn.Module) else ())
        ]

    def resume(self) -> None:
        """Takes up the parameters kept; the run's parameter store must be in force."""
        for module, modules, parameters in self._parts:
            module._modules.update(modules)
            module._parameters.update(parameters)
        self.restore(self._kept)
        self.look()

    def _add_to_average(self) -> None:
        if self.average is None or not self._averaged:
            self.average = self.snapshot()
        # Weights that grow with the step: the way into the last phase soon counts for nothing.
        weight = 4.0 / (self._averaged + 4.0)
        with torch.no_grad():
            for name, leaf in self.leaves.items():
                if name in self.average:
                    self.average[name].lerp_(leaf, weight)
                else:
                    self.average[name] = leaf.clone()
        self._averaged += 1

    def _bad_gradients(self) -> list[str]:
        return [
            name
            for name, leaf in self.leaves.items()
            if leaf.grad is not None and not leaf.grad.isfinite().all()
        ]

    def _trace(self) -> tuple[poutine.Trace, poutine.Trace]:
        args, kwargs = self.bound.args, self.bound.kwargs
        with torch.no_grad(), poutine.block():
            guide_trace = poutine.trace(self.svi.guide).get_trace(*args, **kwargs)
            replayed = poutine.replay(self.svi.model, trace=guide_trace)
            return guide_trace, poutine.trace(replayed).get_trace(*args, **kwargs)

    def _find_blame(self, bad_gradients: list[str]) -> str:
        found = [
            f"parameter {name!r} is not finite"
            for name, leaf in self.leaves.items()
            if not leaf.isfinite().all()
        ]
        for what, trace in zip(("guide", "model"), self._trace(), strict=True):
            trace.compute_log_prob(lambda _, site: not site_is_subsample(site))
            found += [
                f"{what} site {name!r} has log density {float(site['log_prob_sum'])}"
                for name, site in trace.nodes.items()
                if "log_prob" in site and not site["log_prob"].isfinite().all()
            ]
        if not found and bad_gradients:
            found = [f"the gradient of parameter {name!r} is not finite" for name in bad_gradients]
        return "; ".join(found) or "no single site is to blame"
