"""What is held in vector registers equals NumPy's."""

import numba
import numpy as np
import pytest

from ppl_ext.factorization.model.side_posterior import TILE, pack
from ppl_ext.factorization.solver.batched_cholesky import (
    factorize_lanes,
    invert_lanes,
    solve_lanes,
)
from ppl_ext.factorization.solver.vectors.lane_layout import (
    add_moments,
    collect_lanes,
    scale_lanes,
    spread_rows,
)
from ppl_ext.factorization.solver.vectors.registers import LANES
from ppl_ext.factorization.solver.vectors.tile_sums import add_rows, add_scaled_rows

RNG = np.random.default_rng(0)


@numba.njit
def sum_tile(table, begin, columns, start, stop, out, more):
    add_rows(table, begin, columns, start, stop, out, 3, more)


@numba.njit
def sum_powers(table, begin, columns, start, stop, scales, out, more):
    add_scaled_rows(table, begin, columns, start, stop, scales, out, 0, TILE, more)


@numba.njit
def spread(tiles, rows, out, size):
    spread_rows(tiles, tiles.shape[1], rows, out, size)


@numba.njit
def collect(tiles, rows, numbers, scale, size):
    collect_lanes(tiles, tiles.shape[1], rows, numbers, scale, size)


@numba.njit
def scale_all(numbers, scale, added, out):
    scale_lanes(numbers, scale, added, out, len(added))


@numba.njit
def add_all(covariance, mean, design, live, moments, error):
    add_moments(covariance, mean, design, live, moments, error, len(mean))


def whole(*shape, dtype=float):
    """Small integers, so that every order of summation gives the same."""
    return RNG.integers(-99, 99, shape).astype(dtype)


@pytest.mark.parametrize(
    ("dtype", "kept"),
    [(np.float32, np.float32), (np.float32, np.float64), (np.float64, np.float64)],
)
@pytest.mark.parametrize("index", [np.uint16, np.int32, np.int64])
def test_rows_are_added(dtype, kept, index):
    table, columns = whole(2, 7, TILE, dtype=dtype), RNG.integers(0, 7, 40).astype(index)
    out = np.full(TILE + 4, np.nan, kept)
    for start, stop in [(0, 40), (3, 4), (39, 40), (5, 5), (2, 31)]:
        expected = table[1, columns[start:stop]].sum(axis=0)
        for more in (False, True):
            sum_tile(table.reshape(-1), 7 * TILE, columns, start, stop, out, more)
            np.testing.assert_array_equal(out[3:-1], (1 + more) * expected)
    assert np.isnan(out[[0, 1, 2, -1]]).all()  # nothing else is written


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_are_added_times_powers(dtype):
    table, columns = whole(2, 7, TILE, dtype=dtype), RNG.integers(0, 7, 9).astype(np.int32)
    scales, out = RNG.integers(-5, 5, 9).astype(dtype), np.empty(3 * TILE)
    sum_powers(table.reshape(-1), 7 * TILE, columns, 2, 9, scales, out, False)
    powers = scales[:7] ** np.arange(3)[:, None]
    found, expected = out.reshape(3, TILE), powers @ table[1, columns[2:]]
    np.testing.assert_array_equal(found[:2], expected[:2])
    assert found[2, -1] == expected[2, -1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_become_lanes_and_lanes_rows(dtype):
    tiles, rows = whole(3, 11, TILE, dtype=dtype), np.array([4, 1, 0, 9, 9, 9, 9, 9])
    lanes, size = np.empty((3 * TILE, LANES)), 3 * TILE
    spread(tiles, rows, lanes, size)
    np.testing.assert_array_equal(lanes, tiles[:, rows].transpose(0, 2, 1).reshape(size, LANES))
    back, scale = np.full_like(tiles, np.nan), np.array([1.0, 2.0, 3.0, 4.0, 4.0, 4.0, 4.0, 4.0])
    collect(back, rows, lanes, scale, size)
    expected = np.full_like(tiles, np.nan)
    expected[:, rows] = tiles[:, rows] * scale[:, None]
    np.testing.assert_array_equal(back, expected)


def test_lanes_are_scaled():
    numbers, scale, added = whole(5, LANES), whole(LANES), whole(5)
    out = np.empty_like(numbers)
    scale_all(numbers, scale, added, out)
    np.testing.assert_array_equal(out, scale * numbers + added[:, None])


def test_moments_are_added():
    covariance, mean = whole(6, LANES), whole(3, LANES)
    design, live = whole(6, LANES), np.array([1.0] * 5 + [0.0] * 3)
    moments, error = whole(6, LANES), whole(LANES)
    outer = pack((mean[:, None] * mean).transpose(2, 0, 1)).T
    second, twice = covariance + outer, np.array([1, 2, 1, 2, 2, 1])[:, None]
    expected = moments + live * second, error + np.sum(twice * second * design, axis=0)
    add_all(covariance, mean, design, live, moments, error)
    np.testing.assert_array_equal(covariance, second)
    np.testing.assert_array_equal(moments, expected[0])
    np.testing.assert_array_equal(error, expected[1])


@pytest.mark.parametrize("dim", [1, 2, 3, 4, 5, 8, 11, 33])
def test_systems_are_solved_side_by_side(dim):
    half = RNG.normal(size=(LANES, dim, dim + 3))
    matrices, right = half @ half.transpose(0, 2, 1), RNG.normal(size=(dim, LANES))
    lanes, upper, mean = pack(matrices).T.copy(), np.empty((dim * dim, LANES)), right.copy()
    factorize_lanes(lanes, dim)
    factors = np.linalg.cholesky(matrices)
    diagonal = np.arange(dim)
    factors[:, diagonal, diagonal] = 1 / factors[:, diagonal, diagonal]
    np.testing.assert_allclose(lanes, pack(factors).T, rtol=1e-9, atol=1e-12)
    solve_lanes(lanes, mean, dim)
    np.testing.assert_allclose(mean.T, np.linalg.solve(matrices, right.T[..., None])[..., 0], 1e-8)
    invert_lanes(lanes, upper, dim)
    inverse = np.linalg.inv(matrices)
    np.testing.assert_allclose(lanes, pack(inverse).T, rtol=1e-8, atol=1e-9 * inverse.max())
