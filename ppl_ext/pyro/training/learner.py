"""A model and a guide on their way through minibatches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyro
import torch
from pyro.infer import ELBO
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from ppl_ext.pyro.tracing.isolation import model_scope, own_random_state
from ppl_ext.pyro.training.optimizers import make_optimizer
from ppl_ext.pyro.training.parts import Parts, as_tensors
from ppl_ext.training.minibatches import Batch
from ppl_ext.training.refusals import say_process_is_gone

__all__ = ["MinibatchLearner"]

_OPTIMIZER = "optimizer/"  # before what it remembers, in a checkpoint
_SCORING = 0x5C0E  # beside the seed of the noise of scores


@dataclass
class _State:
    """Parameters as the optimiser sees them, in a row, and their average."""

    parameters: torch.Tensor
    average: torch.Tensor
    averaged: torch.Tensor

    def copy(self) -> _State:
        return _State(**{name: value.clone() for name, value in vars(self).items()})


class MinibatchLearner:
    """A model and a guide on their way (see `ppl_ext.training.learner.Learner`).

    The parameters of the host's store are parts of one vector, so that a step of the optimiser
    and the reduction over processes are a few operations, whatever their number.

    Args:
        model: Pyro model.
        guide: Pyro guide.
        elbo: Objective.
        leaves: Parameters as the host's optimisers see them.
        seed: Seed of the noise; that of a step follows from its number.
        parts: How batches are divided.
        optim: Optimiser that was given; None for the default one.

    Raises:
        TypeError: It is none.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        guide: Callable[..., Any],
        elbo: ELBO,
        leaves: Mapping[str, torch.Tensor],
        seed: int,
        parts: Parts,
        optim: Any,
    ) -> None:
        self._model, self._guide, self._elbo = model, guide, elbo
        self._leaves = list(leaves.values())
        self._seed, self._parts = seed, parts
        self._known = set(pyro.get_param_store().keys())
        start = parameters_to_vector(self._leaves).detach().clone()
        self._optimizer = make_optimizer(optim, self._leaves, start)
        self._state = _State(start, start.clone(), torch.zeros((), device=start.device))
        self._best, self._best_optimizer = self._state.copy(), self._optimizer.state()

    def advance(self, step: int, batches: list[Batch], step_size: float) -> np.ndarray:
        """Make a step with each batch: ``losses[step]``, up to the first that is not finite."""
        state, losses = self._state.copy(), []
        vector_to_parameters(state.parameters, self._leaves)
        try:
            with model_scope(), torch.enable_grad(), self._gather() as sums:
                for number, batch in enumerate(batches, step):
                    losses.append(self._step(state, sums, number, batch, step_size))
                    if not np.isfinite(losses[-1]):
                        break
        except RuntimeError as error:
            if self._parts.num_processes == 1 or "onnection" not in str(error):
                raise
            raise say_process_is_gone(step + len(losses)) from error
        self._state = state
        self._refuse_late_parameters()
        return np.array(losses)

    @torch.no_grad()
    def score(self, batches: Iterable[Batch]) -> np.ndarray:
        """Losses of the averaged parameters, ``[batch]``, with the same noise at every call."""
        vector_to_parameters(self._state.average, self._leaves)
        losses = []
        with model_scope():
            for number, batch in enumerate(batches):
                with own_random_state(_mix(self._seed, _SCORING, number)):
                    losses.append(self._elbo.loss(self._model, self._guide, *as_tensors(batch)))
        return np.array(losses)

    def agree(self, numbers: np.ndarray) -> np.ndarray:
        """Those of the first process."""
        return self._parts.agree(numbers)

    def parameters(self) -> np.ndarray:
        """As the optimiser sees them, ``[parameter]``."""
        return self._state.parameters.cpu().numpy()

    def forget_gradients(self) -> None:
        """Let Adam begin anew from where the parameters are."""
        self._optimizer.load_state(
            {name: torch.zeros_like(value) for name, value in self._optimizer.state().items()}
        )

    def keep(self) -> None:
        """Remember the averaged parameters as the best."""
        self._best, self._best_optimizer = self._state.copy(), self._optimizer.state()

    def restore(self) -> None:
        """Put the best parameters back, with the optimiser as it was then."""
        self._state = self._best.copy()
        self._optimizer.load_state(self._best_optimizer)
        self._state.parameters = self._state.average.clone()
        self.restart_average()
        vector_to_parameters(self._state.parameters, self._leaves)

    def restart_average(self) -> None:
        """Average the parameters from here on."""
        self._state.averaged.zero_()

    def state(self) -> dict[str, np.ndarray]:
        """All that the training has reached, for a checkpoint."""
        both = (
            ("best", vars(self._best), self._best_optimizer),
            ("now", vars(self._state), self._optimizer.state()),
        )
        return {
            f"{when}/{name}": value.cpu().numpy().copy()
            for when, state, optimizer in both
            for name, value in (state | _name_optimizer(optimizer)).items()
        }

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from there."""
        for when, each in (("best", self._best), ("now", self._state)):
            for name, value in vars(each).items():
                setattr(each, name, torch.tensor(state[f"{when}/{name}"]).to(value))
        names = _name_optimizer(self._best_optimizer)
        best, now = (
            {
                name.removeprefix(_OPTIMIZER): torch.tensor(state[f"{when}/{name}"])
                for name in names
            }
            for when in ("best", "now")
        )
        self._best_optimizer = best
        self._optimizer.load_state(now)

    def _step(
        self, state: _State, sums: torch.Tensor, number: int, batch: Batch, step_size: float
    ) -> float:
        """One step of the optimiser: the loss before it."""
        sums.zero_()
        for part in self._parts.mine:
            with own_random_state(_mix(self._seed, number, part)):
                given = self._parts.cut(batch, part)
                sums[0] += self._elbo.loss_and_grads(self._model, self._guide, *given)
        with torch.no_grad():
            self._parts.average(sums)
            # Under a mask a loss can be finite where its gradient is not.
            loss = float(sums[0]) if sums.isfinite().all() else math.nan
            self._optimizer.step(state.parameters, sums[1:], step_size)
            # Weights that grow with the step: what was at first soon counts for nothing.
            state.average.lerp_(state.parameters, 4.0 / (float(state.averaged) + 4.0))
            state.averaged += 1
        return loss

    def _refuse_late_parameters(self) -> None:
        late = set(pyro.get_param_store().keys()) - self._known
        if late:
            raise ValueError(
                f"fit_minibatches: the parameters {sorted(late)} appeared after the first run of "
                "model and guide; expected all in every run. Write their pyro.param statements "
                "outside of branches."
            )

    @contextmanager
    def _gather(self) -> Iterator[torch.Tensor]:
        """One vector into which the host adds up the loss and all gradients."""
        sums = torch.zeros_like(torch.cat([self._state.average[:1], self._state.average]))
        pieces = sums[1:].split([leaf.numel() for leaf in self._leaves])
        try:
            for leaf, piece in zip(self._leaves, pieces, strict=True):
                leaf.grad = piece.view_as(leaf)
            yield sums
        finally:
            for leaf in self._leaves:
                leaf.grad = None


def _name_optimizer(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{_OPTIMIZER}{name}": value for name, value in state.items()}


def _mix(*numbers: int) -> int:
    """One seed from several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
