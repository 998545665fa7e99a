"""Simulations: the same pairs in whatever chunks and wherever they run, without what failed."""

import os
import threading

import joblib
import numpy as np
import pytest
from joblib._parallel_backends import ThreadingBackend

from ppl_ext.simulation import (
    BlackBox,
    Simulations,
    engine,
    find_constant,
    run_simulations,
)
from tests.hall.simulators import count, draw_prior, equal, fail_sometimes, number_rows


def test_rows_are_those_of_numpys_spawned_generators():
    found = run_simulations(BlackBox(draw_prior, count, seed=5), 10, chunk_size=4)
    noise = np.random.SeedSequence(5).spawn(2)[1].spawn(10)
    for row, seed in enumerate(noise):
        expected = count({"rate": found.latent["rate"][row]}, np.random.default_rng(seed))
        np.testing.assert_array_equal(found.observed["y"][row], expected["y"])
        np.testing.assert_array_equal(found.observed["z"][row], expected["z"])


@pytest.mark.parametrize("chunk_size", [1, 7, 30, None])
def test_chunks_do_not_matter(chunk_size):
    simulate = BlackBox(draw_prior, count, seed=5)
    whole = run_simulations(simulate, 30, chunk_size=100)
    assert equal(run_simulations(simulate, 30, chunk_size=chunk_size), whole)
    assert whole.observed["z"].shape == (30, 2, 3)


def test_processes_do_not_matter(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    scratch = np.zeros(200_000)  # large enough for joblib to send it read-only
    parent = os.getpid()

    def simulate(values, rng):
        scratch[0] = values["rate"]
        if values["rate"] < 0.5:
            raise ValueError(f"rate {scratch[0]:.3f}")
        here = os.getpid() == parent
        threads = 1 if here else int(os.environ["OMP_NUM_THREADS"])
        return {"y": rng.poisson(scratch[0]), "threads": threads}

    box = BlackBox(draw_prior, simulate)
    alone = run_simulations(box, 40, chunk_size=4)
    assert equal(run_simulations(box, 40, chunk_size=4, num_jobs=2), alone)
    assert 0 < sum(alone.dropped.values()) < 20
    assert set(alone.observed["threads"]) == {1}


def test_the_users_configuration_of_joblib_decides():
    threads = set()

    def simulate(values, rng):
        threads.add(threading.get_ident())
        return count(values, rng)

    box = BlackBox(draw_prior, simulate)
    alone = run_simulations(box, 30, chunk_size=5)
    assert threads == {threading.get_ident()}
    with joblib.parallel_config("threading", n_jobs=2):
        assert equal(run_simulations(box, 30, chunk_size=5, num_jobs=None), alone)
    assert len(threads) > 1


def test_a_backend_that_returns_all_at_once_gets_waves():
    class Waves(ThreadingBackend):
        supports_return_generator = False

    joblib.register_parallel_backend("waves", Waves)
    box = BlackBox(draw_prior, count)
    with joblib.parallel_config("waves", n_jobs=2):
        found = run_simulations(box, 30, chunk_size=1, num_jobs=None)
    assert equal(found, run_simulations(box, 30))


def test_a_backend_that_forks_is_refused():
    with (
        joblib.parallel_config("multiprocessing", n_jobs=2),
        pytest.raises(ValueError, match=r"'multiprocessing', which forks .*backend='loky'"),
    ):
        run_simulations(BlackBox(draw_prior, count), 10, num_jobs=None)


def test_one_job_needs_no_joblib(monkeypatch):
    monkeypatch.setattr(engine, "find_spec", lambda name: None)
    box = BlackBox(draw_prior, count)
    assert equal(run_simulations(box, 5, num_jobs=None), run_simulations(box, 5))
    with pytest.raises(
        ModuleNotFoundError,
        match=r"joblib and cloudpickle for num_jobs=2 not.*ppl-ext\[parallel\]",
    ):
        run_simulations(box, 5, num_jobs=2)


@pytest.mark.parametrize("num_jobs", [1, None])
def test_failed_rows_are_counted_with_the_first_message(num_jobs):
    with joblib.parallel_config("threading", n_jobs=3):
        found = run_simulations(
            BlackBox(number_rows, fail_sometimes), 23, chunk_size=3, num_jobs=num_jobs
        )
    assert found.dropped == {
        "ValueError: row 1 is odd": 5, "FloatingPointError": 5, "'x' is not finite": 4,
    }  # fmt: skip
    assert len(found) == 9
    assert found.latent["row"].tolist() == [0, 4, 5, 9, 10, 14, 15, 19, 20]
    assert str(found) == (
        "9 simulations of 'row' and 'x'; 14 of 23 rows dropped: 5 ValueError: row 1 is odd, "
        "5 FloatingPointError, 4 'x' is not finite."
    )


def test_all_failed():
    def simulate(values, rng):
        raise ZeroDivisionError("no luck")

    for vectorized in (False, True):
        box = BlackBox(number_rows, simulate, vectorized=vectorized)
        with pytest.raises(ValueError, match=r"all 30 simulations failed, 30 .*Error: no luck;"):
            run_simulations(box, 30, chunk_size=7)


def test_first_chunks_that_fail_leave_the_shapes_to_others():
    def simulate(values, rng):
        if values["row"] < 20:
            raise ValueError("too early")
        return np.zeros(3)

    found = run_simulations(BlackBox(number_rows, simulate), 24, chunk_size=5)
    assert found.latent["row"].tolist() == [20, 21, 22, 23]
    assert found.observed["x"].shape == (4, 3)


def test_a_vectorized_simulator_sees_its_chunk():
    box = BlackBox(number_rows, lambda v, rng: v["row"][:, None] * [1, 2], vectorized=True)
    found = run_simulations(box, 11, chunk_size=4)
    np.testing.assert_array_equal(found.observed["x"][:, 1], 2 * np.arange(11))


def test_a_row_of_whole_numbers_does_not_round_the_next():
    found = run_simulations(BlackBox(number_rows, lambda v, rng: 0 if v["row"] < 2 else 0.5), 4)
    assert found.observed["x"].tolist() == [0, 0, 0.5, 0.5]


def give(latent=None, observed=None):
    return lambda first_row, size: {
        "latent": {"mu": np.zeros(size)} if latent is None else latent(first_row, size),
        "observed": {"y": np.zeros(size)} if observed is None else observed(first_row, size),
    }


@pytest.mark.parametrize(
    ("simulate", "kind", "message"),
    [
        (lambda first_row, size: np.zeros(size), TypeError, "returned ndarray"),
        (lambda first_row, size: {"latent": {}}, TypeError, r"returned \['latent'\]"),
        (give(latent=lambda *_: {}), ValueError, "no latent site"),
        (give(observed=lambda f, n: {"y": np.zeros(n + 1)}), ValueError, "'y' has 5 rows"),
        (give(observed=lambda f, n: {"y": ["a"] * n}), TypeError, "'y' is of type <U1"),
        (give(observed=lambda f, n: {"y": 0.0}), ValueError, "'y' is one number"),
        (
            give(observed=lambda f, n: {"y": np.zeros((n, 1 + f // 4))}),
            ValueError, r"'y' has shape \(2,\) in row 4, and \(1,\) in row 0",
        ),
        (
            give(observed=lambda f, n: {"y": np.zeros(n, "f4" if f else "i4")}),
            ValueError, "'y' is of type float32 in row 4, and int32 in row 0",
        ),
        (
            BlackBox(number_rows, lambda v, rng: v["row"].astype("f8" if v["row"] % 5 else "f4")),
            ValueError, r"row 1 is {'x': 'float64\[\]'}, and row 0 {'x': 'float32\[\]'}",
        ),
        (
            give(observed=lambda f, n: {f"y{f}": np.zeros(n)}),
            ValueError, r"row 4 has the observed sites \['y4'\], and row 0 \['y0'\]",
        ),
        (
            BlackBox(number_rows, lambda v, rng: np.zeros(int(2 + v["row"] // 7))),
            ValueError, r"row 7 is {'x': 'float64\[3\]'}, and row 4 {'x': 'float64\[2\]'}",
        ),
        (BlackBox(number_rows, lambda v, rng: "text"), TypeError, "'x' of row 0 is of type <U4"),
        (BlackBox(lambda f, n: {"mu": np.zeros(3)}, count), ValueError, "gave site 'mu' of shape"),
        (None, TypeError, "simulate is a NoneType"),
    ],
)  # fmt: skip
def test_what_simulators_may_not_return(simulate, kind, message):
    with pytest.raises(kind, match=message):
        run_simulations(simulate, 12, chunk_size=4)


def test_a_mistake_in_a_simulator_ends_the_run_and_names_the_row():
    with pytest.raises(KeyError) as caught:
        run_simulations(BlackBox(number_rows, lambda v, rng: v["mu"]), 3)
    assert caught.value.__notes__ == ["BlackBox: this was row 0."]


@pytest.mark.parametrize(
    "arguments",
    [{"num_simulations": 0}, {"chunk_size": 1.5}, {"num_jobs": 0}, {"num_jobs": "all"}],
)
def test_wrong_numbers_are_named(arguments):
    with pytest.raises(ValueError, match=f"run_simulations: {next(iter(arguments))} = "):
        run_simulations(give(), **{"num_simulations": 4, **arguments})
    with pytest.raises(ValueError, match="seed = -1"):
        BlackBox(number_rows, count, seed=-1)
    with pytest.raises(TypeError, match="simulator is a int"):
        BlackBox(number_rows, 3)


@pytest.mark.parametrize(
    ("latent", "observed", "kind", "message"),
    [
        ({}, {"y": [1.0]}, ValueError, "no latent sites"),
        ({"mu": [1.0]}, {}, ValueError, "no observed sites"),
        ({"y": [1.0]}, {"y": [1.0]}, ValueError, r"\['y'\] are latent and observed"),
        ({"mu": [1.0]}, {"y": [1.0, 2.0]}, ValueError, "{'mu': 1, 'y': 2}"),
        ({"mu": []}, {"y": []}, ValueError, "no rows"),
        ({"mu": [1j]}, {"y": [1.0]}, TypeError, "'mu' is of type complex128"),
        ({"mu": [1.0]}, {"y": [None]}, TypeError, "'y' is of type object"),
        ({"mu": [np.inf]}, {"y": [1.0]}, ValueError, "all 1 simulations failed.*'mu' is not"),
    ],
)
def test_tables_that_are_none(latent, observed, kind, message):
    with pytest.raises(kind, match=message):
        Simulations(latent, observed)


def test_rows_that_are_not_finite_leave_the_table():
    mu = np.array([0, np.nan, 2, 3, np.nan])
    y = np.array([[0, 0], [1, 1], [2, np.inf], [3, 3], [4, 4.0]])
    found = Simulations({"mu": mu}, {"y": y}, dropped={"ValueError: earlier": 7})
    assert found.dropped == {
        "ValueError: earlier": 7, "'mu' is not finite": 2, "'y' is not finite": 1,
    }  # fmt: skip
    assert found.latent["mu"].tolist() == [0, 3]
    assert found.observed["y"].tolist() == [[0, 0], [3, 3]]


def test_rows_are_taken_in_every_way():
    found = Simulations({"mu": np.arange(6)}, {"y": 10 * np.arange(6)})
    mask = np.array([0, 1, 0, 0, 0, 1], dtype=bool)
    for rows, expected in (([5, 1], [5, 1]), (mask, [1, 5]), (slice(1, 3), [1, 2]), (-1, [5])):
        part = found.take(rows)
        assert part.latent["mu"].tolist() == expected
        assert part.observed["y"].tolist() == [10 * each for each in expected]
        assert len(part) == len(expected)
        assert part.take([0]).latent["mu"].tolist() == expected[:1]
    assert [len(piece) for piece in found.pieces(4)] == [4, 2]
    with pytest.raises(IndexError):
        found.take([6])


def test_constant_columns_are_named():
    y = np.random.default_rng(0).normal(size=(50, 2, 2))
    y[:, 1, 0] = 7
    found = Simulations({"mu": np.zeros(50)}, {"y": y, "n": np.full(50, 3), "k": np.arange(50)})
    assert find_constant(found) == ("y[1,0]", "n")
