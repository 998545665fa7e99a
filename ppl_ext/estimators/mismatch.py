"""A density of the guide set against a probability of the model: found, and told."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["DensityMismatch", "RelaxedDensityWarning", "having_told", "warn_of"]


class RelaxedDensityWarning(UserWarning):
    """A guide's density stands against a model's probability, which trains to a wrong answer.

    The bound then compares a density, such as that of a relaxed categorical, with the
    probability of a discrete value. It can be computed and it goes up, but it is no bound.

    Example:
        >>> issubclass(RelaxedDensityWarning, UserWarning)
        True
    """


@dataclass(frozen=True)
class DensityMismatch:
    """A site at which one of guide and model is continuous, and the other discrete.

    Printed, it says what to do.

    Args:
        site: Its name.
        guide: Class name of the guide's distribution.
        model: Class name of the model's distribution.
        relaxed: Whether it is the guide that is continuous.

    Example:
        >>> print(DensityMismatch("z", "RelaxedBernoulli", "Bernoulli", relaxed=True))
        site 'z': the guide draws from RelaxedBernoulli, which has a density, the model from
        Bernoulli, which has probabilities; ...
    """

    site: str
    guide: str
    model: str
    relaxed: bool = True

    def __str__(self) -> str:
        kinds = ("which has a density", "which has probabilities")
        guide, model = kinds if self.relaxed else kinds[::-1]
        cure = (
            f"Draw from {self.model} in the guide (where the values are one-hot, from "
            "px.distributions.OneHotCategoricalStraightThrough), and train with "
            "px.DiscreteELBO(px.estimators.LeaveOneOut())"
            if self.relaxed
            else "Give guide and model the same kind of distribution"
        )
        return (
            f"site {self.site!r}: the guide draws from {self.guide}, {guide}, the model from "
            f"{self.model}, {model}; their ratio is no weight, and training ends at a wrong "
            f"answer without an error. {cure}."
        )


def warn_of(caller: str, mismatches: Iterable[DensityMismatch], stacklevel: int = 2) -> None:
    """Warn of each mismatch.

    Args:
        caller: Name of the public object on whose behalf the warning speaks.
        mismatches: What was found.
        stacklevel: As in ``warnings.warn``, counted from the caller of this function.

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     warn_of("fit", [DensityMismatch("z", "RelaxedBernoulli", "Bernoulli")])
        >>> [each.category.__name__ for each in caught]
        ['RelaxedDensityWarning']
    """
    for mismatch in mismatches:
        warnings.warn(f"{caller}: {mismatch}", RelaxedDensityWarning, stacklevel=stacklevel + 1)


@contextmanager
def having_told(mismatches: Sequence[DensityMismatch]) -> Iterator[None]:
    """Keep what is run from warning again of what was told.

    Args:
        mismatches: What was told; without any, warnings are left as they are.

    Example:
        >>> mismatch = DensityMismatch("z", "RelaxedBernoulli", "Bernoulli")
        >>> with having_told([mismatch]):
        ...     warn_of("StickTheLanding", [mismatch])
    """
    with warnings.catch_warnings():
        if mismatches:
            warnings.simplefilter("ignore", RelaxedDensityWarning)
        yield
