"""The noise of ratings: its variance, and how it differs between users and items."""

from dataclasses import dataclass

__all__ = ["Noise"]


@dataclass(frozen=True)
class Noise:
    r"""``rating ~ N(prediction, variance / (a[user] g[item]))``.

    The weights a and g have Gamma priors of mean one whose shapes are learned, so that careful
    users count for more than careless ones and disputed items have wider intervals. On
    MovieLens-100K they are worth more than the step from diagonal to full covariances.

    Not `by_user` and `by_item` for a handful of ratings each: nothing is lost, nothing is gained.

    Args:
        variance: Variance of the noise; learned if None.
        by_user: Learn a weight for every user.
        by_item: Learn a weight for every item.

    Raises:
        ValueError: The variance is not positive.

    Example:
        >>> Noise(variance=0.5, by_user=False, by_item=False).variance
        0.5
    """

    variance: float | None = None
    by_user: bool = True
    by_item: bool = True

    def __post_init__(self) -> None:
        if self.variance is not None and not 0 < self.variance < float("inf"):
            raise ValueError(
                f"{self}: the variance must be positive and finite. Write Noise(variance=0.5), or "
                "Noise() to learn it."
            )
