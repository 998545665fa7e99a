"""The data of the autoencoder that minibatches are measured on, and its sizes."""

import numpy as np

__all__ = ["BATCH", "HIDDEN", "LATENT", "PIXELS", "draw_pixels"]

PIXELS, HIDDEN, LATENT, BATCH = 784, 400, 20, 128


def draw_pixels(rows: int) -> np.ndarray:
    """Binary pixels, ``[row, pixel]``."""
    return (np.random.default_rng(0).random((rows, PIXELS)) < 0.3).astype(np.float32)
