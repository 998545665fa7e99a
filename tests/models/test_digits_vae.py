"""The digits autoencoder: its data, its baseline, and that its bound is the bound."""

import numpy as np
from scipy import special

from models.digits_vae.data import PIXELS, TEST, TRAIN, score_pixels


def test_the_images_are_those_of_the_collection():
    assert TRAIN.shape == (1438, PIXELS)
    assert TEST.shape == (359, PIXELS)
    ink = np.concatenate([TRAIN, TEST]).mean()
    assert abs(ink - 0.323) < 5e-4


def test_independent_pixels_score_their_entropy():
    """On the images they were counted on, the score would be the entropy of the pixels."""
    ink = TRAIN.mean(0)
    entropy = -(special.xlogy(ink, ink) + special.xlog1py(1 - ink, -ink)).sum()
    assert abs(entropy - score_pixels()) < 0.5


def test_training_starts_where_it_should(host, worked):
    """Before the first step every pixel is a coin: 64 log 2 nats, and hardly any divergence."""
    program = worked("digits_vae")
    nats = program.score(program.ESTIMATORS[0], steps=1, draws=1)
    assert abs(nats - PIXELS * np.log(2)) < 1.0
