"""What `fit` was told of its climb."""

from typing import Any

from ppl_ext.correction.settings import Correction

__all__ = ["read_climb"]


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
