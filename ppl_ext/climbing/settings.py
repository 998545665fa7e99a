"""What `fit` was told of its climb."""

from typing import Any

from ppl_ext.correction.settings import Correction
from ppl_ext.fitting.settings import Deterministic

__all__ = ["read_climb", "start_settings"]

# Effective share of the weights that no report trusts, whatever their tail.
_FAR = 0.05


def read_climb(climb: Any, *, named: str, line: str) -> Correction | None:
    """What the last step of a climb may cost; None where there is to be no climb.

    Args:
        climb: What was given as ``climb=``.
        named: The argument that names a guide or a road, such as ``"guide"``, which leaves
            nothing to climb; empty if there is none.
        line: Beginning of a right call.

    Returns:
        The settings.

    Raises:
        ValueError: It is neither a flag nor settings, or there is nothing to climb.

    Example:
        >>> read_climb(True, named="", line="fit(model").ess
        4000
        >>> read_climb(True, named="guide", line="fit(model") is None
        True
    """
    if isinstance(climb, bool):
        return Correction() if climb and not named else None
    if not isinstance(climb, Correction):
        found = "the class Correction" if climb is Correction else f"a {type(climb).__name__}"
        raise ValueError(
            f"fit: climb is {found}; expected True, False or what the last step may cost. Write "
            f"{line}, ..., climb=Correction(ess=4000))."
        )
    if named:
        raise ValueError(
            f"fit: climb = {climb} beside {named}=, which is fitted and no more; expected one of "
            f"the two. Leave {named} out: {line}, ..., climb=Correction(ess={climb.ess}))."
        )
    return climb


def start_settings(num_starts: int, *, climbs: bool) -> Deterministic:
    """How the first Gaussian is fitted where nobody says.

    Args:
        num_starts: Number of starts.
        climbs: Whether it is where a climb begins: then a Gaussian far from the posterior is left
            as soon as it shows, for what comes after uses gradients better.

    Returns:
        The settings.

    Example:
        >>> start_settings(4, climbs=False) == Deterministic(num_starts=4)
        True
    """
    return Deterministic(num_starts=num_starts, min_efficiency=_FAR if climbs else 0.0)
