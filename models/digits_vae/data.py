"""Handwritten digits of 8 by 8 pixels, black or white, from scikit-learn.

The images are those of Alpaydin and Kaynak (1998), Optical Recognition of Handwritten Digits,
UCI Machine Learning Repository, doi:10.24432/C50P49.
"""

import numpy as np
from sklearn.datasets import load_digits

__all__ = [
    "BATCH",
    "CLASSES",
    "HIDDEN",
    "LATENTS",
    "PIXELS",
    "STEP_SIZE",
    "TEST",
    "TRAIN",
    "score_pixels",
]

LATENTS, CLASSES, HIDDEN, PIXELS = 6, 8, 128, 64
BATCH, STEP_SIZE = 64, 1e-3

_IMAGES = (load_digits().data >= 8).astype(np.float32)
_ORDER = np.random.default_rng(0).permutation(len(_IMAGES))
TRAIN, TEST = _IMAGES[_ORDER[:1438]], _IMAGES[_ORDER[1438:]]


def score_pixels() -> float:
    """Nats a test image under independent pixels with the frequencies of the training images."""
    ink = (TRAIN.sum(0) + 1) / (len(TRAIN) + 2)
    return float(-(TEST * np.log(ink) + (1 - TEST) * np.log(1 - ink)).sum(1).mean())
