"""Training of networks side by side."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from ppl_ext.npe.settings import Training
from ppl_ext.pyro.flows.distribution import FlowDistribution
from ppl_ext.pyro.npe.network import Member, Network

__all__ = ["NetworkLearner"]

_LONGEST = 5.0  # norm of a gradient
_WARM_UP = 200  # steps until the step size is reached
_FIRST, _SECOND, _LEAST = 0.9, 0.999, 1e-8  # of Adam
_HELD_OUT_ROWS = 4096  # of one batch


@dataclass
class _State:
    """All weights of a member in a row, and what belongs to each of them."""

    weights: torch.Tensor
    mean: torch.Tensor
    square: torch.Tensor
    average: torch.Tensor
    step: int = 0

    def copy(self) -> "_State":
        return _State(
            self.weights.clone(),
            self.mean.clone(),
            self.square.clone(),
            self.average.clone(),
            self.step,
        )


class NetworkLearner:
    """Members of an ensemble on their way (see `ppl_ext.npe.learning.Learner`).

    The weights of a member are one vector, so that a step of the optimiser is a few operations,
    whatever the number of its layers.

    Args:
        network: What is trained; it holds the averaged weights when it is scored and at the end.
        settings: How.
    """

    def __init__(self, network: Network, settings: Training) -> None:
        self._network, self._settings = network, settings
        self._parameters = [list(member.parameters()) for member in network.members]
        starts = [parameters_to_vector(parts).detach() for parts in self._parameters]
        self._states = [
            _State(start, torch.zeros_like(start), torch.zeros_like(start), start.clone())
            for start in starts
        ]
        self._best = [state.copy() for state in self._states]

    def advance(self, u: np.ndarray, f: np.ndarray, rates: np.ndarray) -> np.ndarray:
        """Make a step for each batch: mean losses ``[member]``."""
        at, rows = self._network.to_tensor(u), self._network.to_tensor(f)
        self._network.train()
        losses = []
        for number, state in enumerate(self._states):
            vector_to_parameters(state.weights, self._parameters[number])
            member, rate = self._network.members[number], float(rates[number])
            each = [
                self._step(state, member, self._parameters[number], batch, given, rate)
                for batch, given in zip(at, rows, strict=True)
            ]
            losses.append(float(torch.stack(each).double().mean()))
        return np.array(losses)

    @torch.no_grad()
    def look(self, u: np.ndarray, f: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Log densities of pairs, and squared lengths of their noise, ``[member, pair]``."""
        self._show_average()
        at = self._network.to_tensor(u).split(_HELD_OUT_ROWS)
        rows = self._network.to_tensor(f).split(_HELD_OUT_ROWS)
        parts = [
            torch.stack([_look(member(given), batch) for member in self._network.members], 1)
            for batch, given in zip(at, rows, strict=True)
        ]
        log_q, squares = torch.cat(parts, -1).double().cpu().numpy()
        return log_q, None if np.isnan(squares).all() else squares

    def keep(self, members: np.ndarray) -> None:
        """Remember the averaged weights of some members as their best."""
        for number in np.flatnonzero(members):
            self._best[number] = self._states[number].copy()

    def restore(self, members: np.ndarray) -> None:
        """Put their best weights back, with the optimiser as it was then."""
        for number in np.flatnonzero(members):
            best = self._best[number].copy()
            self._states[number] = replace(best, weights=best.average.clone())
        self._show_average()

    def state(self) -> dict[str, np.ndarray]:
        """All that the training has reached, for a checkpoint."""
        return {
            f"{when}/{number}/{name}": np.asarray(torch.as_tensor(value).cpu())
            for when, states in (("best", self._best), ("now", self._states))
            for number, state in enumerate(states)
            for name, value in vars(state).items()
        }

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from there."""
        for when, states in (("best", self._best), ("now", self._states)):
            for number, each in enumerate(states):
                for name, value in vars(each).items():
                    found = state[f"{when}/{number}/{name}"]
                    # A whole number stays one, and a tensor where it was.
                    taken = int(found) if name == "step" else torch.tensor(found).to(value)
                    setattr(each, name, taken)

    def _show_average(self) -> None:
        self._network.eval()
        for state, parameters in zip(self._states, self._parameters, strict=True):
            vector_to_parameters(state.average, parameters)

    def _step(
        self,
        state: _State,
        member: Member,
        parameters: list[torch.Tensor],
        u: torch.Tensor,
        f: torch.Tensor,
        rate: float,
    ) -> torch.Tensor:
        """One step of Adam: the loss before it."""
        settings = self._settings
        with torch.enable_grad():
            loss = -member(f).log_prob(u).mean()
            parts = torch.autograd.grad(
                loss, parameters, allow_unused=True, materialize_grads=True
            )
        with torch.no_grad():
            gradient = torch.cat([part.reshape(-1) for part in parts])
            gradient *= (_LONGEST / gradient.norm()).clamp(max=1.0)
            state.step += 1
            state.mean.lerp_(gradient, 1 - _FIRST)
            state.square.mul_(_SECOND).addcmul_(gradient, gradient, value=1 - _SECOND)
            rate *= settings.step_size * min(1.0, state.step / _WARM_UP)
            state.weights.mul_(1 - rate * settings.weight_decay)
            deviation = (state.square / (1 - _SECOND**state.step)).sqrt_().add_(_LEAST)
            reach = rate / (1 - _FIRST**state.step)
            state.weights.addcdiv_(state.mean, deviation, value=-reach)
            # A young average forgets sooner.
            past = min(settings.average, (1.0 + state.step) / (10.0 + state.step))
            state.average.lerp_(state.weights, 1 - past)
        return loss.detach()


def _look(q: torch.distributions.Distribution, u: torch.Tensor) -> torch.Tensor:
    """Log densities of pairs and squared lengths of their noise, ``[2, pair]``; NaN if none."""
    if not isinstance(q, FlowDistribution):
        log_q = q.log_prob(u)
        return torch.stack([log_q, torch.full_like(log_q, torch.nan)])
    log_q, e = q.log_prob_with_noise(u)
    return torch.stack([log_q, (e**2).sum(-1)])
