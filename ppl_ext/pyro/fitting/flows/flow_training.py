"""A flow's parameters on their way: by likelihood of draws, or by the evidence lower bound."""

import math
from abc import ABC, abstractmethod

import numpy as np
import torch

from ppl_ext.density import Density
from ppl_ext.pyro.flows.flow import AbstractFlow

__all__ = [
    "AbstractTraining",
    "BoundTraining",
    "LikelihoodTraining",
    "State",
    "restore",
    "snapshot",
]

State = list[torch.Tensor]

_LONGEST = 5.0  # norm of a gradient
_WARM_UP = 20  # steps until the step size is reached
_MEMORY = 0.95  # of the running average of a likelihood's iterates


def snapshot(flow: AbstractFlow) -> State:
    """A copy of the parameters."""
    return [parameter.detach().clone() for parameter in flow.parameters()]


def restore(flow: AbstractFlow, state: State) -> None:
    """Writes a copy back."""
    with torch.no_grad():
        for parameter, value in zip(flow.parameters(), state, strict=True):
            parameter.copy_(value)


class AbstractTraining(ABC):
    """Adam on the parameters of a flow, with an average of its iterates.

    Args:
        flow: The flow; it is left at the last iterate.
        step_size: Step size.
        batch: Draws of a step.
    """

    def __init__(self, flow: AbstractFlow, step_size: float, batch: int) -> None:
        self.flow = flow
        self.batch = batch
        self.step_size = step_size
        self.parameters = list(flow.parameters())
        self.adam = torch.optim.Adam(self.parameters, step_size, fused=True)
        self.average = snapshot(flow)
        self.steps = 0
        self.averaged = 0

    @abstractmethod
    def evaluate(self) -> float:
        """Leaves the gradient of a fresh batch in the parameters and returns its loss."""

    @abstractmethod
    def weigh(self) -> float:
        """The weight of the latest iterate in the average."""

    def advance(self, steps: int) -> np.ndarray:
        """Makes some steps and returns ``losses[step]``; one that is not finite is not made."""
        losses = np.full(steps, np.nan)
        for step in range(steps):
            losses[step] = self.evaluate()
            norm = torch.nn.utils.clip_grad_norm_(self.parameters, _LONGEST)
            if not (np.isfinite(losses[step]) and norm.isfinite()):
                losses[step] = np.nan
                break
            self.steps += 1
            for group in self.adam.param_groups:
                group["lr"] = self.step_size * min(1.0, self.steps / _WARM_UP)
            self.adam.step()
            self.averaged += 1
            with torch.no_grad():
                torch._foreach_lerp_(self.average, self.parameters, self.weigh())
        return losses


class LikelihoodTraining(AbstractTraining):
    """Maximum likelihood of draws, some held out to say when it is enough.

    Args:
        flow: The flow.
        draws: Draws in the frame of the flow, shape [draw, dim].
        held_out: Others, independent of them.
        step_size: Step size.
        batch: Draws of a step.
    """

    def __init__(
        self,
        flow: AbstractFlow,
        draws: torch.Tensor,
        held_out: torch.Tensor,
        step_size: float = 5e-3,
        batch: int = 256,
    ) -> None:
        super().__init__(flow, step_size, batch)
        self.draws = draws
        self.held_out = held_out
        self._slower = False

    def evaluate(self) -> float:  # noqa: D102
        rows = torch.randint(len(self.draws), (self.batch,), device=self.draws.device)
        self.adam.zero_grad()
        loss = -self.flow().log_prob(self.draws[rows]).mean()
        loss.backward()
        return loss.item()

    def weigh(self) -> float:  # noqa: D102
        return max(1 - _MEMORY, 1 / self.averaged)

    @torch.no_grad()
    def look(self) -> tuple[float, State]:
        """Loss of the held-out draws under the average of the iterates, and that average."""
        average, latest = [x.clone() for x in self.average], snapshot(self.flow)
        restore(self.flow, average)
        loss = -self.flow().log_prob(self.held_out).mean().item()
        restore(self.flow, latest)
        return loss, average

    def slow_down(self, start: State) -> bool:
        """Goes on from a state with smaller steps, once."""
        if self._slower:
            return False
        self._slower = True
        self.step_size /= 4
        restore(self.flow, start)
        return True


class BoundTraining(AbstractTraining):
    """Stick-the-landing gradients of the evidence lower bound, by antithetic draws.

    Args:
        flow: The flow.
        loc: Mean of its frame, shape [dim].
        scale_tril: Cholesky factor of its frame, shape [dim, dim].
        density: The log density of the model.
        step_size: Step size.
        batch: Draws of a step.

    Attributes:
        slower: Whether the steps are the smaller ones that are averaged.
    """

    def __init__(
        self,
        flow: AbstractFlow,
        loc: torch.Tensor,
        scale_tril: torch.Tensor,
        density: Density,
        step_size: float = 1e-2,
        batch: int = 256,
    ) -> None:
        super().__init__(flow, step_size, batch)
        self.loc = loc
        self.scale_tril = scale_tril
        self.density = density
        self.log_scale = scale_tril.diagonal().log().sum().item()
        self.slower = False

    def evaluate(self) -> float:  # noqa: D102
        half = torch.randn(self.batch // 2, self.flow.dim).to(self.loc)
        u, _ = self.flow.push(torch.cat([half, -half]))
        log_q, score = self._score(u.detach())
        z = self.loc + u.detach() @ self.scale_tril.T
        log_p, gradient = self.density.log_density(z.double().cpu().numpy())
        pull = score - torch.as_tensor(gradient).to(u) @ self.scale_tril
        # A draw where the model has no finite density or gradient has nothing to say.
        sound = torch.as_tensor(np.isfinite(log_p)).to(u.device) & pull.isfinite().all(-1)
        pull = torch.where(sound[:, None], pull, 0.0) / max(1, int(sound.sum()))
        gradients = torch.autograd.grad(u, self.parameters, pull)
        for parameter, found in zip(self.parameters, gradients, strict=True):
            parameter.grad = found
        kept = sound.cpu().numpy()
        losses = log_q.double().cpu().numpy()[kept] - self.log_scale - log_p[kept]
        return float(losses.mean()) if kept.any() else math.nan

    def weigh(self) -> float:  # noqa: D102
        # Weights that grow with the step: the way into the last phase soon counts for nothing.
        return 4.0 / (self.averaged + 3.0)

    def slow_down(self) -> bool:
        """Takes smaller steps and averages from here on, once."""
        if self.slower:
            return False
        self.slower, self.averaged = True, 0
        self.step_size /= 5
        return True

    def _score(self, u: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Log density of points in the frame and its gradient there, the parameters held fixed."""
        for parameter in self.parameters:
            parameter.requires_grad_(False)
        try:
            u.requires_grad_()
            log_q = self.flow().log_prob(u)
            (score,) = torch.autograd.grad(log_q.sum(), u)
        finally:
            for parameter in self.parameters:
                parameter.requires_grad_(True)
        return log_q.detach(), score
