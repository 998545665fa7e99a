"""The optimisers of trainings on minibatches, and what they remember."""

from __future__ import annotations

import copy
import io
from collections.abc import Mapping
from typing import Any, Protocol

import pyro
import torch
from pyro.optim import PyroLRScheduler, PyroOptim
from torch.optim.adam import adam

from ppl_ext.training.refusals import say_wrong_optimizer

__all__ = ["Optimizer", "describe_optimizer", "make_optimizer"]

_WARM_UP = 100  # steps until the step size is reached
_ADAM = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}
_LINE = "lambda parameters: torch.optim.AdamW(parameters, lr=1e-3)"


class Optimizer(Protocol):
    """Moves parameters that lie in one vector, of which the host's leaves are parts."""

    def step(self, parameters: torch.Tensor, slopes: torch.Tensor, step_size: float) -> None:
        """Make a step, in place."""

    def state(self) -> dict[str, torch.Tensor]:
        """Copies of all that it remembers."""

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from there."""


class _Adam:
    """Adam with a warm-up."""

    def __init__(self, start: torch.Tensor) -> None:
        self._state = {
            "mean": torch.zeros_like(start),
            "square": torch.zeros_like(start),
            "step": torch.zeros((), device=start.device),
        }

    def step(self, parameters: torch.Tensor, slopes: torch.Tensor, step_size: float) -> None:
        mean, square, step = self._state.values()
        adam(
            [parameters],
            [slopes],
            [mean],
            [square],
            [],
            [step],
            fused=True,
            amsgrad=False,
            maximize=False,
            lr=step_size * min(1.0, (1 + int(step)) / _WARM_UP),
            **_ADAM,
        )

    def state(self) -> dict[str, torch.Tensor]:
        return {name: value.clone() for name, value in self._state.items()}

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        self._state = {name: state[name].clone().to(old) for name, old in self._state.items()}


class _Given:
    """One that the user brings: its steps, made shorter by a factor.

    Args:
        optimizer: Of torch, or what looks like one.
    """

    def __init__(self, optimizer: torch.optim.Optimizer | _OfPyro) -> None:
        self._optimizer = optimizer

    def step(self, parameters: torch.Tensor, slopes: torch.Tensor, step_size: float) -> None:
        before = parameters.clone() if step_size != 1.0 else None
        self._optimizer.step()
        if before is not None:
            parameters.copy_(before.lerp(parameters, step_size))

    def state(self) -> dict[str, torch.Tensor]:
        written = io.BytesIO()
        torch.save(self._optimizer.state_dict(), written)
        return {"torch": torch.frombuffer(written.getbuffer(), dtype=torch.uint8).clone()}

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        written = io.BytesIO(state["torch"].numpy().tobytes())
        self._optimizer.load_state_dict(torch.load(written, weights_only=True))


class _OfPyro:
    """An optimiser of Pyro, one of torch for each parameter, as a single one of torch.

    Args:
        given: The optimiser, which is left as it is.
        leaves: The parameters.
    """

    def __init__(self, given: PyroOptim, leaves: list[torch.Tensor]) -> None:
        self._given, self._leaves = given, leaves
        self._optim = copy.deepcopy(given)
        self._loaded: dict[str, Any] | None = None

    def step(self) -> None:
        self._optim(self._leaves)
        self._loaded = None

    def state_dict(self) -> dict[str, Any]:
        # What is loaded is taken up at the next step.
        if self._loaded is not None:
            return self._loaded
        found = self._optim.get_state()
        # In their order: the next guide like this one has other names.
        return {"parameters": [found.get(name) for name in self._names]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._loaded, self._optim = state, copy.deepcopy(self._given)
        pairs = zip(self._names, state["parameters"], strict=True)
        self._optim.set_state({name: each for name, each in pairs if each is not None})

    @property
    def _names(self) -> list[str]:
        store = pyro.get_param_store()
        return [store.param_name(leaf) for leaf in self._leaves]


def make_optimizer(optim: Any, leaves: list[torch.Tensor], start: torch.Tensor) -> Optimizer:
    """An optimiser that has made no step yet.

    Args:
        optim: What was given; None for Adam.
        leaves: Parameters as the host's optimisers see them.
        start: The same in one vector.

    Raises:
        TypeError: It is no optimiser of Pyro, and makes none of torch.
    """
    if optim is None:
        return _Adam(start)
    if isinstance(optim, PyroLRScheduler):
        expected = "an optimiser without a schedule, since the training makes its own cuts"
        raise say_wrong_optimizer(optim, expected, 'pyro.optim.AdamW({"lr": 1e-3})')
    if isinstance(optim, PyroOptim):
        return _Given(_OfPyro(optim, leaves))
    made = optim(leaves) if callable(optim) else optim
    if made is optim or not isinstance(made, torch.optim.Optimizer):
        expected = "an optimiser of Pyro, or a function that makes one of torch"
        raise say_wrong_optimizer(made, expected, _LINE)
    return _Given(made)


def describe_optimizer(optim: Any, leaves: list[torch.Tensor]) -> str | None:
    """What tells an optimiser from others: its class and its settings.

    Args:
        optim: What was given; None for Adam.
        leaves: Parameters as it sees them.
    """
    if optim is None:
        return None
    if isinstance(optim, PyroOptim):
        given = optim.pt_optim_args
        settings = "of each parameter" if callable(given) else sorted(given.items())
        return f"{optim.pt_optim_constructor.__name__} {settings}"
    made = optim(leaves)
    return f"{type(made).__name__} {sorted(made.defaults.items())}"
