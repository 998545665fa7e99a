"""Remember from which scores a draw was made, for as long as the draw itself lives.

Coordinates of a draw from the simplex underflow; its scores do not. NumPyro hands such
intermediates from ``sample`` to ``log_prob``; PyTorch has no such way, and without one the density
of most draws at low temperatures is infinite (see "own draws" in benchmarks/discrete.py).
The scores hang on no attribute of the tensor: an operation on the draw gives another tensor, of
which nothing is known. This is for what is right, not for speed, and stays in this file: nothing
else knows the table.
"""

import torch
from torch.utils.weak import WeakIdKeyDictionary

_SCORES = WeakIdKeyDictionary()


def remember(draw: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Note the scores of a draw; return the draw."""
    if not (torch.compiler.is_compiling() or draw.is_inference()):
        _SCORES[draw] = draw._version, scores
    return draw


def recall(draw: torch.Tensor) -> torch.Tensor | None:
    """Return the scores of a draw that has not been changed since, or None."""
    if torch.compiler.is_compiling():
        return None
    version, scores = _SCORES.get(draw, (None, None))
    return scores if version is not None and version == draw._version else None


def hand_on(draw: torch.Tensor, cast: torch.Tensor) -> torch.Tensor:
    """Remember of a draw in another precision what is remembered of the draw; return it."""
    scores = None if cast is draw else recall(draw)
    return cast if scores is None else remember(cast, scores)
