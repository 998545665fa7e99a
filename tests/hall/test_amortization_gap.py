"""The report of an amortization gap: its numbers by hand, and what it says of them."""

import numpy as np
import pytest

from ppl_ext.amortization.gap import measure_gap


def gap_of(rows, noise=0.0, draws=50):
    """A gap of known rows, its draws in two batches."""
    rng = np.random.default_rng(0)
    after = rng.normal(size=(draws, len(rows)))
    before = after - np.asarray(rows) + noise * rng.normal(size=after.shape)
    half = draws // 2
    batches = [(before[:half], after[:half]), (before[half:], after[half:])]
    return measure_gap("rows", batches, np.zeros(len(rows))), before, after


def test_errors_are_those_of_the_common_draws():
    gap, before, after = gap_of([0.2, 1.0, 0.4], noise=0.3)
    change = after - before
    np.testing.assert_allclose(gap.before, before.mean(0))
    np.testing.assert_allclose(gap.rows, change.mean(0))
    np.testing.assert_allclose(gap.row_errors, change.std(0, ddof=1) / np.sqrt(50))
    assert gap.error == pytest.approx(change.mean(1).std(ddof=1) / np.sqrt(50))
    assert gap.find_worst(2).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("rows", "noise", "said"),
    [
        ([0.0, 0.02], 0.0, "closed"),
        ([0.2, 0.1], 0.0, "noticeable"),
        ([2.0, 0.1], 0.0, "wide"),
        ([-0.2, -0.1], 0.0, "went astray"),
        ([0.1, 0.1], 9.0, "too few draws"),
        ([np.inf, 0.1], 0.0, "bounds of 1 rows are not finite"),
    ],
)
def test_the_verdict_says_what_to_do(rows, noise, said):
    gap, *_ = gap_of(rows, noise)
    assert said in str(gap)
    assert gap.good == (said == "closed")


def test_rows_that_may_be_on_their_way_are_counted():
    _, before, after = gap_of([0.0, 0.02])
    gap = measure_gap("rows", [(before, after)], np.array([0.1, 0.6]))
    assert gap.unfinished.tolist() == [False, True]
    assert "1 rows were still on their way" in str(gap)
    assert not gap.good


def test_a_row_without_a_bound_comes_first_and_leaves_the_mean_alone():
    gap, *_ = gap_of([0.1, np.inf, 0.3])
    assert gap.find_worst().tolist() == [1, 2, 0]
    assert gap.mean == pytest.approx(0.2)
