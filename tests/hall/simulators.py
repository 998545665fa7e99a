"""Small simulators for the tests, which processes of their own import as well."""

import numpy as np

from ppl_ext.simulation import make_row_generator


def draw_prior(first_row, size):
    rows = range(first_row, first_row + size)
    return {"rate": np.array([make_row_generator(3, row).gamma(2.0) for row in rows])}


def count(values, rng):
    return {"y": rng.poisson(values["rate"], size=2), "z": rng.normal(size=(2, 3))}


def fail_sometimes(values, rng):
    row = values["row"]
    if row % 5 == 1:
        raise ValueError(f"row {row:.0f} is odd")
    if row % 5 == 2:
        raise FloatingPointError
    return np.array([row, np.nan if row % 5 == 3 else 1.0])


def number_rows(first_row, size):
    return {"row": np.arange(first_row, first_row + size, dtype=float)}


def equal(first, second):
    for group in ("latent", "observed"):
        ours, theirs = getattr(first, group), getattr(second, group)
        assert list(ours) == list(theirs)
        for name, array in ours.items():
            np.testing.assert_array_equal(array, theirs[name])
            assert array.dtype == theirs[name].dtype
    assert first.dropped == second.dropped
    return True
