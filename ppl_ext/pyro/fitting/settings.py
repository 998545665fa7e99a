"""The settings of a stochastic fit."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from pyro.infer import ELBO
from pyro.optim import PyroOptim

from ppl_ext.fitting.stopping import Plateau

__all__ = ["Stochastic"]


@dataclass(frozen=True)
class Stochastic:
    """Stochastic gradient ascent of the evidence lower bound by the host's ``SVI``.

    With its own optimiser: Adam, its step size divided by five at every plateau of the loss, and
    in the last phase an average of the iterates that outweighs their noise. With another
    optimiser: its steps as they are, to the first plateau. Either way the result is the best, by
    fresh draws, of the averaged, the last and the best iterate.

    Not for a Gaussian guide on a model that sees all its data: `SampleAverage`, the default
    there, needs no step size and knows when it has converged.

    Args:
        optim: The host's optimiser, such as ``pyro.optim.ClippedAdam({...})``; every start works
            on a copy. None for the Adam described above.
        step_size: First step size of that Adam.
        phases: Its number of step sizes.
        max_steps: Most steps.
        num_particles: Draws of a gradient, with the default ``elbo``.
        elbo: The host's objective; None for ``StickTheLanding(num_particles)``.
        trial_steps: Steps that every start makes before all but the best are dropped.
        rule: ``losses -> reason or None``; says when the loss has stopped falling.

    Raises:
        ValueError: A number is not positive.

    Example:
        >>> Stochastic(max_steps=20_000).num_particles
        1

    References:
        Polyak, Juditsky (1992), Acceleration of stochastic approximation by averaging, SIAM
        Journal on Control and Optimization 30(4).
        Dhaka, Catalina, Andersen, Magnusson, Huggins, Vehtari (2020), Robust, accurate stochastic
        optimization for variational inference, NeurIPS.
    """

    optim: PyroOptim | None = None
    step_size: float = 0.03
    phases: int = 3
    max_steps: int = 50_000
    num_particles: int = 1
    elbo: ELBO | None = None
    trial_steps: int = 500
    rule: Callable[[np.ndarray], str | None] = field(default_factory=Plateau)

    def __post_init__(self) -> None:
        for name in ("step_size", "phases", "max_steps", "num_particles", "trial_steps"):
            if not getattr(self, name) > 0:
                raise ValueError(
                    f"Stochastic: {name} = {getattr(self, name)}; expected a positive number, "
                    f"such as Stochastic({name}={getattr(type(self), name)})."
                )
