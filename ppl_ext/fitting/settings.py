"""The two ways to maximise the evidence lower bound, and their settings."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ppl_ext.fitting.calls import check_count
from ppl_ext.fitting.stopping import Plateau

__all__ = ["Deterministic", "Stochastic"]


@dataclass(frozen=True)
class Deterministic:
    """Deterministic Gaussian variational inference on a sample-average objective.

    The expectation in the ELBO is replaced by an average over fixed, whitened, antithetic
    quasi-random draws. The objective is then an ordinary smooth function: it is optimised to
    convergence, without a learning rate, and draws are added until neither the optimiser nor the
    finite sample can move the answer by more than the tolerances.

    Not for models that subsample their data, nor for guides that are not Gaussian.

    Args:
        num_draws: Draws of the first objective; raised to four times the dimension for full rank.
        max_draws: Most draws; reached on heavy-tailed or strongly curved posteriors only.
        kl_tolerance: Predicted Kullback-Leibler divergence to the optimum of the objective, in
            nats, at which an objective counts as solved.
        error_tolerance: Monte Carlo standard error allowed in the fitted mean, in standard
            deviations of the guide.
        num_starts: Optimisation paths from random points.
        max_steps: Most steps on one objective.
        min_efficiency: Effective share of the importance weights of the draws below which no more
            are added: a Gaussian so far from the posterior is a start for what comes after, and
            need not be sharp. 0 adds draws whatever they weigh; a climbing fit takes 0.05.

    Raises:
        ValueError: A count is no positive whole number or a tolerance not between 0 and 1.

    Example:
        >>> Deterministic(num_draws=512).max_draws
        16384

    References:
        Giordano, Ingram, Broderick (2024), Black Box Variational Inference with a Deterministic
        Objective, JMLR 25(18).
        Burroni, Domke, Sheldon (2024), Sample Average Approximation for Black-Box VI, UAI.
        Lin, Schmidt, Khan (2020), Handling the Positive-Definite Constraint in the Bayesian
        Learning Rule, ICML.
    """

    num_draws: int = 256
    max_draws: int = 16384
    kl_tolerance: float = 1e-4
    error_tolerance: float = 0.02
    num_starts: int = 4
    max_steps: int = 100
    min_efficiency: float = 0.0

    def __post_init__(self) -> None:
        _check_counts(self, "num_draws", "max_draws", "num_starts", "max_steps")
        if not 0 <= self.min_efficiency < 1:
            raise ValueError(
                f"Deterministic: min_efficiency = {self.min_efficiency}; expected a number from 0 "
                "up to 1, such as Deterministic(min_efficiency=0.05)."
            )
        for name in ("kl_tolerance", "error_tolerance"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(
                    f"Deterministic: {name} = {getattr(self, name)}; expected a number between 0 "
                    f"and 1, such as Deterministic({name}={getattr(type(self), name)})."
                )


@dataclass(frozen=True)
class Stochastic:
    """Stochastic gradient ascent of the evidence lower bound by the host's ``SVI``.

    With its own optimiser: Adam, its step size divided by five at every plateau of the loss, and
    in the last phase an average of the iterates that outweighs their noise. With another
    optimiser: its steps as they are, to the first plateau. Either way the result is the best, by
    fresh draws, of the averaged, the last and the best iterate.

    Not for a Gaussian guide on a model that sees all its data: `Deterministic`, the default
    there, needs no step size and knows when it has converged.

    Args:
        optim: The host's optimiser, or in NumPyro optax's; every start begins it anew. None for
            the Adam described above.
        step_size: First step size of that Adam.
        phases: Its number of step sizes.
        max_steps: Most steps.
        num_particles: Draws of a gradient, with the default ``elbo``.
        elbo: The host's objective; None for ``StickTheLanding(num_particles)``.
        trial_steps: Steps that every start makes before all but the best are dropped.
        rule: ``losses -> reason or None``; says when the loss has stopped falling.

    Raises:
        ValueError: A number is not positive, or a count not whole.

    Example:
        >>> Stochastic(max_steps=20_000).num_particles
        1

    References:
        Polyak, Juditsky (1992), Acceleration of stochastic approximation by averaging, SIAM
        Journal on Control and Optimization 30(4).
        Dhaka, Catalina, Andersen, Magnusson, Huggins, Vehtari (2020), Robust, accurate stochastic
        optimization for variational inference, NeurIPS.
    """

    optim: Any = None
    step_size: float = 0.03
    phases: int = 3
    max_steps: int = 50_000
    num_particles: int = 1
    elbo: Any = None
    trial_steps: int = 500
    rule: Callable[[np.ndarray], str | None] = field(default_factory=Plateau)

    def __post_init__(self) -> None:
        _check_counts(self, "phases", "max_steps", "num_particles", "trial_steps")
        if not self.step_size > 0:
            raise ValueError(
                f"Stochastic: step_size = {self.step_size}; expected a positive number, such as "
                f"Stochastic(step_size={type(self).step_size})."
            )


def _check_counts(settings: Deterministic | Stochastic, *names: str) -> None:
    kind = type(settings)
    for name in names:
        line = f"{kind.__name__}({name}={getattr(kind, name)})"
        check_count(kind.__name__, name, getattr(settings, name), line)


def read_optimizer(
    optimizer: Any, num_starts: int, default: int, hosts: tuple[type, ...], line: str
) -> Deterministic | Stochastic | None:
    """Settings from what was given as ``optimizer=``; None where `fit` is to choose.

    Args:
        optimizer: Settings, one of the host's optimisers, or None.
        num_starts: Starts that were asked for.
        default: Starts where none are asked for.
        hosts: Classes of the host's optimisers.
        line: Beginning of a right call.

    Returns:
        The settings, with the number of starts in those of the deterministic road.

    Raises:
        ValueError: It is something else, or has a number of starts of its own.
    """
    check_count("fit", "num_starts", num_starts, f"num_starts={default}")
    if isinstance(optimizer, hosts):
        return Stochastic(optim=optimizer)
    if isinstance(optimizer, type) and issubclass(optimizer, (Deterministic, Stochastic)):
        raise ValueError(
            f"fit: optimizer is the class {optimizer.__name__}; expected its settings. Write "
            f"{line}, ..., optimizer={optimizer.__name__}())."
        )
    if not (optimizer is None or isinstance(optimizer, (Deterministic, Stochastic))):
        raise ValueError(
            f"fit: optimizer is a {type(optimizer).__name__}; expected Deterministic(...), "
            "Stochastic(...) or one of the host's optimisers. Leave it out, or write "
            f"{line}, ..., optimizer=Stochastic())."
        )
    if isinstance(optimizer, Deterministic) and num_starts not in (default, optimizer.num_starts):
        raise ValueError(
            f"fit: num_starts = {num_starts} beside Deterministic(num_starts="
            f"{optimizer.num_starts}); expected it once. Write "
            f"{line}, ..., optimizer=Deterministic(num_starts={num_starts}))."
        )
    return optimizer
