"""How a model and a guide are trained on minibatches."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["MinibatchSettings"]


@dataclass(frozen=True)
class MinibatchSettings:
    """How a model and a guide are trained on minibatches; the defaults need no tuning.

    Adam with a warm-up, its iterates averaged with weights that grow. Where held-out batches, or
    the losses of whole epochs, tell that nothing is gained any more, and no parameter drifts, the
    step is cut, until a smaller one gains nothing either. With another optimiser: its updates as
    they are, at first, without a warm-up or a search; where the step would be cut, the updates
    are made smaller by the same factor. Iterates are averaged, and the end is found, as with Adam.

    Args:
        step_size: Of Adam. None takes 0.001 where batches are held out, for networks, and
            else the one of 0.03, 0.01, 0.003 and 0.001 that leads lowest in the first 200 steps.
        patience: Looks at held-out batches without a gain before the step is cut; eight times
            that number of epochs, at least, where none are held out.
        decay: Factor by which it is cut.
        num_decays: How often at most; a cut that brings nothing is the last.
        max_epochs: Most passes over the data.
        max_seconds: Most seconds of wall-clock time; asked when a look is due, so that the same
            seed may then give another answer.
        optim: In NumPyro an optimiser of optax, which sees the parameters by name, on
            unconstrained space; in Pyro one of ``pyro.optim``, or a function of the list of these
            parameters that makes one of ``torch.optim``. None for Adam.

    Raises:
        ValueError: A number is out of its range, or ``step_size`` is given beside ``optim``.

    Example:
        >>> MinibatchSettings(max_epochs=10).patience
        5

    References:
        Kingma, Ba (2015), Adam: a method for stochastic optimization, ICLR, arXiv:1412.6980.
        Shamir, Zhang (2013), Stochastic gradient descent for non-smooth optimization, ICML,
        arXiv:1212.1824 (the average).
    """

    step_size: float | None = None
    patience: int = 5
    decay: float = 0.3
    num_decays: int = 4
    max_epochs: int = 1000
    max_seconds: float = math.inf
    optim: Any = None

    def __post_init__(self) -> None:
        whole = "a positive whole number"
        right = {
            "step_size": ("a positive number", self.step_size is None or self.step_size > 0),
            "patience": (whole, _is_whole(self.patience, 1)),
            "decay": ("a number between 0 and 1", 0 < self.decay < 1),
            "num_decays": ("a whole number that is not negative", _is_whole(self.num_decays, 0)),
            "max_epochs": (whole, _is_whole(self.max_epochs, 1)),
            "max_seconds": ("a positive number", self.max_seconds > 0),
        }
        for name, (expected, holds) in right.items():
            if not holds:
                raise ValueError(
                    f"MinibatchSettings: {name} = {getattr(self, name)!r}; expected {expected}. "
                    "MinibatchSettings() has settings that were measured."
                )
        if self.optim is not None and self.step_size is not None:
            raise ValueError(
                f"MinibatchSettings: step_size = {self.step_size!r} beside optim; expected one of "
                "them, since an optimiser brings its own. Write MinibatchSettings(optim=...)."
            )


def _is_whole(value: Any, least: int) -> bool:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return whole and bool(value >= least)
