"""What may be done with draws, in a word."""

from enum import StrEnum

__all__ = ["MEAN_TOLERANCE", "SD_TOLERANCE", "Verdict"]

# What the verdict "good" promises: no mean is farther off, in posterior standard deviations, and
# no standard deviation, in its logarithm.
MEAN_TOLERANCE, SD_TOLERANCE = 0.1, 0.15


class Verdict(StrEnum):
    """What may be done with draws.

    Example:
        >>> print(Verdict.RESAMPLE)
        good after importance resampling
        >>> Verdict.RESAMPLE.ok, Verdict.RESAMPLE.resampled_ok
        (False, True)
    """

    GOOD = "good"
    RESAMPLE = "good after importance resampling"
    DISTRUST = "not to be trusted"

    @property
    def ok(self) -> bool:
        """Whether the draws are good as they are."""
        return self is Verdict.GOOD

    @property
    def resampled_ok(self) -> bool:
        """Whether the importance-resampled draws are good."""
        return self is not Verdict.DISTRUST
