"""The sums in vector registers equal NumPy's."""

import numba
import numpy as np
import pytest

from ppl_ext.factorization.solver.simd import LANES, add_rows, multiply_lanes


@numba.njit
def sum_tile(table, begin, columns, start, stop):
    out = np.empty(64, table.dtype)
    add_rows(table, begin, columns, start, stop, out)
    return out


@numba.njit
def multiply(a, first_a, b, first_b, count):
    out = np.full((3, LANES), np.nan)
    multiply_lanes(a, first_a, b, first_b, count, out, 1)
    return out


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_rows_are_added(dtype, index):
    rng = np.random.default_rng(0)
    # Small integers, so that every order of summation gives the same.
    table = rng.integers(-99, 99, (2, 7, 64)).astype(dtype)
    columns = rng.integers(0, 7, 40).astype(index)
    for start, stop in [(0, 40), (3, 4), (39, 40), (5, 5), (2, 31)]:
        found = sum_tile(table.reshape(-1), 7 * 64, columns, start, stop)
        np.testing.assert_array_equal(found, table[1, columns[start:stop]].sum(axis=0))


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8])
def test_lanes_are_multiplied(count):
    rng = np.random.default_rng(0)
    a, b = rng.integers(-99, 99, (2, 12, LANES)).astype(float)
    found = multiply(a, 2, b, 4, count)
    np.testing.assert_array_equal(found[1], (a[2 : 2 + count] * b[4 : 4 + count]).sum(axis=0))
    assert np.isnan(found[[0, 2]]).all()  # nothing else is written
