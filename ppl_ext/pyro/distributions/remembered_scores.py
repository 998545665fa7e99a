"""Remember from which scores a draw was made, for as long as the draw itself lives.

Coordinates of a draw from the simplex underflow; its scores do not. They hang on no attribute of
the tensor: an operation on the draw gives another tensor, of which nothing is known.
"""

import torch
from torch.utils.weak import WeakIdKeyDictionary

_SCORES = WeakIdKeyDictionary()


def remember(draw: torch.Tensor, scores: torch.Tensor, *, soft: bool = False) -> torch.Tensor:
    """Note the scores of a draw, and whether it is their softmax; return the draw."""
    if not (torch.compiler.is_compiling() or draw.is_inference()):
        _SCORES[draw] = draw._version, scores, soft
    return draw


def recall(draw: torch.Tensor) -> torch.Tensor | None:
    """Return the scores of a draw that has not been changed since, or None."""
    return _find(draw)[0]


def is_softmax(draw: torch.Tensor) -> bool:
    """Say whether a draw is known to be the softmax of its scores."""
    return _find(draw)[1]


def _find(draw):
    if torch.compiler.is_compiling():
        return None, False
    version, scores, soft = _SCORES.get(draw, (None, None, False))
    return (scores, soft) if version is not None and version == draw._version else (None, False)
