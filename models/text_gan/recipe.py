"""The numbers of the recipe, which both hosts share, and the training strings."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from models.text_gan.data import Score, draw_strings

__all__ = [
    "BATCH",
    "CODE",
    "COOLED",
    "CRITIC",
    "END",
    "HIDDEN",
    "OTHERS",
    "RATE",
    "START",
    "STEPS",
    "Result",
    "draw_batches",
    "keep_at",
    "rate_at",
]

STEPS = 8000  # of the critic; the generator takes every second
BATCH = 192
CODE, HIDDEN, CRITIC = 16, 64, 256  # widths
RATE = 1e-3  # of Adam with decays 0.5 and 0.9
# The generator that is used is a moving average of its weights: the two players circle.
KEEP = 0.999
# At temperature 1 an even choice among four operators is far from one-hot, and the critic sees it:
# the generator then lets its code choose, and strings repeat. At 0.3 the draw itself may choose.
START, END, COOLED = 5.0, 0.3, 0.8  # temperatures, and the share of the steps between them
OTHERS = ("likelihood", "untrained")  # the ceiling and the floor, beside the recipes


class Result(NamedTuple):
    """What a trained generator writes, and how it came there."""

    score: Score
    strings: Sequence[str]
    scores: Sequence[Score]  # while it was trained, at even distances; empty for the others


def rate_at(step, steps):
    """Share of the learning rate: all of it for half of the steps, and then down to 0.02."""
    return 1.0 - 0.98 * (2.0 * step / steps - 1.0) * (2 * step > steps)


def keep_at(step):
    """Weight of the past in the moving average: less at first, when the past is short."""
    share = (step + 2) / (step + 20)
    return share + (KEEP - share) * (share > KEEP)


def draw_batches(generator: np.random.Generator, steps: int) -> np.ndarray:
    """Draw fresh strings for each step, ``[step, string, position]``."""
    symbols = draw_strings(generator, steps * BATCH).astype(np.int8)
    return symbols.reshape(steps, BATCH, -1)
