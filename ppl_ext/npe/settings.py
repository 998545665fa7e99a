"""How a network is trained."""

import math
from dataclasses import dataclass

__all__ = ["Training"]


@dataclass(frozen=True)
class Training:
    """How the network of a neural posterior is trained; the defaults need no tuning.

    Adam with a warm-up; where held-out pairs no longer gain, the best averaged weights are put
    back and the step is cut, until nothing is gained by a smaller one either.

    Args:
        num_members: Networks that are trained side by side and averaged.
        batch_size: Pairs of a step.
        step_size: Of Adam.
        weight_decay: By which weights shrink at every step, relative to its size.
        average: Share of the past in the running average of the weights, whose answer counts.
        held_out: Share of the pairs that are held out.
        patience: Looks at the held-out pairs without a gain, before the step is cut.
        decay: Factor by which it is cut.
        num_decays: How often at most; a cut that brings nothing is the last.
        max_epochs: Most times that the pairs are gone through; over the second half of them the
            steps go to zero, so that a training which this limit ends has settled.
        max_seconds: Most seconds of wall-clock time; the same seed may then give another answer.

    Raises:
        ValueError: A number is out of its range.

    Example:
        >>> Training(num_members=3).batch_size
        128

    References:
        Kingma, Ba (2015), Adam: a method for stochastic optimization, ICLR, arXiv:1412.6980.
        Loshchilov, Hutter (2019), Decoupled weight decay regularization, ICLR, arXiv:1711.05101.
        Defazio, Cutkosky, Mehta, Mishchenko (2023), Optimal linear decay learning rate schedules
        and further refinements, arXiv:2310.07831.
        Lakshminarayanan, Pritzel, Blundell (2017), Simple and scalable predictive uncertainty
        estimation using deep ensembles, NeurIPS, arXiv:1612.01474.
    """

    num_members: int = 1
    batch_size: int = 128
    step_size: float = 2e-3
    weight_decay: float = 1e-3
    average: float = 0.998
    held_out: float = 0.1
    patience: int = 6
    decay: float = 0.3
    num_decays: int = 3
    max_epochs: int = 1000
    max_seconds: float = math.inf

    def __post_init__(self) -> None:
        right = {
            "num_members": ("a positive whole number", self.num_members >= 1),
            "batch_size": ("a positive whole number", self.batch_size >= 1),
            "step_size": ("a positive number", self.step_size > 0),
            "weight_decay": ("a number that is not negative", self.weight_decay >= 0),
            "average": ("a number from 0 to below 1", 0 <= self.average < 1),
            "held_out": ("a number between 0 and 1", 0 < self.held_out < 1),
            "patience": ("a positive whole number", self.patience >= 1),
            "decay": ("a number between 0 and 1", 0 < self.decay < 1),
            "num_decays": ("a whole number, 0 for none", self.num_decays >= 0),
            "max_epochs": ("a positive whole number", self.max_epochs >= 1),
            "max_seconds": ("a positive number", self.max_seconds > 0),
        }
        for name, (expected, fits) in right.items():
            if not fits:
                raise ValueError(
                    f"Training: {name} = {getattr(self, name)}; expected {expected}, such as "
                    f"Training({name}={getattr(type(self), name)})."
                )
