"""What a correction is asked for."""

import math
from dataclasses import dataclass

__all__ = ["Correction"]


@dataclass(frozen=True)
class Correction:
    """How good corrected draws have to be, and what they may cost at most.

    Everything else (particles, temperatures, steps, moves) follows from the draws themselves.

    Args:
        ess: Effective number of draws wanted for every latent coordinate, of values and of
            distances from the median alike. 4,000 leave an error of 0.016 sd in a mean.
        max_rhat: Rank-normalised R-hat between islands and between early and late at which
            draws count as mixed.
        max_gradients: Most gradients of the log density.
        max_seconds: Most seconds of wall-clock time; the same seed may then give other draws.

    Raises:
        ValueError: If a number is out of its range.

    Example:
        >>> Correction(ess=1000, max_seconds=60.0).max_gradients
        5000000
    """

    ess: int = 4000
    max_rhat: float = 1.01
    max_gradients: int = 5_000_000
    max_seconds: float = math.inf

    def __post_init__(self) -> None:
        right = {
            "ess": ("a positive whole number", self.ess >= 1),
            "max_rhat": ("a number above 1", self.max_rhat > 1),
            "max_gradients": ("a whole number, 0 for none", self.max_gradients >= 0),
            "max_seconds": ("a number of seconds, 0 for none", self.max_seconds >= 0),
        }
        for name, (expected, fits) in right.items():
            if not fits:
                raise ValueError(
                    f"Correction: {name} = {getattr(self, name)}; expected {expected}, such as "
                    f"Correction({name}={getattr(type(self), name)})."
                )
