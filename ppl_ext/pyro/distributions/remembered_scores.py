"""Remember from which scores a draw was made, for as long as the draw itself lives.

Coordinates of a draw from the simplex underflow; its scores do not. NumPyro hands such
intermediates from ``sample`` to ``log_prob``; PyTorch has no such way, and without one the density
of nearly every draw at low temperatures is infinite. The scores hang on no attribute of the
tensor: an operation on the draw gives another tensor, of which nothing is known.
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


def hand_on(draw: torch.Tensor, cast: torch.Tensor) -> torch.Tensor:
    """Remember of a draw in another precision what is remembered of the draw; return it."""
    if cast is draw:
        return draw
    scores = recall(draw)
    return cast if scores is None else remember(cast, scores)


def _find(draw):
    if torch.compiler.is_compiling():
        return None, False
    version, scores, soft = _SCORES.get(draw, (None, None, False))
    return (scores, soft) if version is not None and version == draw._version else (None, False)
