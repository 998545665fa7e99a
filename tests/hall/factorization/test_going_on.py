"""A fit that is interrupted, saved, or that goes on with new ratings."""

import os
import signal

import numpy as np
import pytest

import ppl_ext.factorization.solver.sweeps as sweeps
from ppl_ext.factorization import (
    MatrixFactorization,
    load_factors,
    read_ratings,
    simulate_ratings,
    split_by_row,
)

SIMULATION = simulate_ratings(num_users=300, num_items=200, density=0.12, seed=5)
RATINGS = SIMULATION.ratings


def fit(ratings=RATINGS, num_factors=4, start=None, checkpoint=None, **settings):
    settings = {"num_threads": 1, **settings}
    model = MatrixFactorization(num_factors, **settings)
    return model.fit(ratings, start=start, checkpoint=checkpoint, progress_bar=False)


def test_checkpoint_goes_on_where_it_stopped(tmp_path):
    whole = fit(max_sweeps=12, tolerance=0)
    part = fit(max_sweeps=7, tolerance=0, checkpoint=tmp_path / "factors")
    again = load_factors(tmp_path / "factors")
    rest = fit(max_sweeps=5, tolerance=0, start=again)
    assert part.sweeps == again.sweeps == 7
    assert rest.sweeps == 12
    assert np.array_equal(rest.elbo, whole.elbo)


def test_checkpoint_is_there_before_the_end(tmp_path, monkeypatch):
    original = sweeps.Sweeper.sweep

    def fail_late(self, state):
        if state.sweeps == 8:
            raise OSError("the machine goes down")
        return original(self, state)

    monkeypatch.setattr(sweeps.Sweeper, "sweep", fail_late)
    with pytest.raises(OSError, match="goes down"):
        fit(tolerance=0, checkpoint=tmp_path / "factors")
    assert load_factors(tmp_path / "factors").sweeps == 5


def test_a_fit_that_was_killed_late_ends_where_it_would_have(tmp_path, monkeypatch):
    whole, original = fit(), sweeps.Sweeper.sweep

    def fail_late(self, state):
        if state.sweeps == whole.sweeps - 1:
            raise OSError("the machine goes down")
        return original(self, state)

    monkeypatch.setattr(sweeps.Sweeper, "sweep", fail_late)
    with pytest.raises(OSError, match="goes down"):
        fit(checkpoint=tmp_path / "factors")
    monkeypatch.undo()
    again = fit(start=load_factors(tmp_path / "factors"), checkpoint=tmp_path / "factors")
    for found in (again, fit(start=load_factors(tmp_path / "factors"))):
        assert np.array_equal(found.elbo, whole.elbo)
        assert np.array_equal(found.users.table, whole.users.table)
        assert found.log.reason == whole.log.reason


def test_interruption_keeps_whole_sweeps(monkeypatch):
    original = sweeps.Sweeper.sweep

    def interrupt(self, state):
        if state.sweeps == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, state)

    monkeypatch.setattr(sweeps.Sweeper, "sweep", interrupt)
    factors = fit(tolerance=0)
    monkeypatch.undo()
    assert factors.log.interrupted
    assert factors.sweeps == len(factors.elbo) == len(factors.log.losses) == 4
    assert np.array_equal(factors.elbo, fit(tolerance=0, max_sweeps=4).elbo)


def test_new_ratings_update_a_fit():
    early, late = split_by_row(RATINGS, 0.3)
    before = fit(early)
    after = fit(start=before)
    assert after.assess(late).rmse < before.assess(late).rmse
    assert len(after.log.losses) < len(before.log.losses) + 6


def test_update_knows_users_by_their_labels():
    few = read_ratings((["b", "c"], [1, 2], [3.0, 4.0]))
    more = read_ratings((["a", "b", "c"], [1, 1, 2], [5.0, 3.0, 4.0]))
    before = fit(few, 2)
    after = fit(more, 2, start=before, max_sweeps=1)
    assert after.users.ids.tolist() == ["a", "b", "c"]
    assert after.sweeps == before.sweeps + 1


def test_a_checkpoint_that_cannot_be_written_is_refused_before_the_fit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="fit: checkpoint: 'none/a' is in a folder that"):
        fit(checkpoint="none/a")
    with pytest.raises(ValueError, match="fit: checkpoint: the path is empty"):
        fit(checkpoint="")
