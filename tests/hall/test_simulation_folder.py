"""Tables on disk: nothing is lost, nothing is mixed, nothing is executed, memory stays flat."""

import json
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from ppl_ext.simulation import (
    BlackBox,
    Simulations,
    folder_table,
    open_simulations,
    run_simulations,
)
from ppl_ext.simulation.resumption import hold_folder
from tests.hall.simulators import count, draw_prior, equal, fail_sometimes, number_rows

KILLED = """
import os, signal, sys
import numpy as np
from ppl_ext.simulation import BlackBox, folder_table, run_simulations
from tests.hall.simulators import fail_sometimes, number_rows

folder_table._COMMIT_SECONDS = 0
folder, what, when = sys.argv[1], sys.argv[2], int(sys.argv[3])
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
calls = 0
flush = os.fsync

def count_flush(number):
    global calls
    calls += 1
    if calls > when:
        die()
    flush(number)

def simulate(values, rng):
    if values["row"] >= when:
        die()
    return fail_sometimes(values, rng)

if what == "flush":
    os.fsync, simulate = count_flush, fail_sometimes
run_simulations(BlackBox(number_rows, simulate), 40, chunk_size=5, folder=folder)
"""
BOX = BlackBox(number_rows, fail_sometimes)


@pytest.fixture(scope="module")
def whole():
    return run_simulations(BOX, 40, chunk_size=5)


@pytest.fixture
def folder(tmp_path):
    """A complete table of 40 rows."""
    folder = tmp_path / "sims"
    run_simulations(BOX, 40, chunk_size=5, folder=folder)
    return folder


def read(found):
    """The sound rows, in memory."""
    taken = found.take(np.arange(len(found)))
    return Simulations(taken.latent, taken.observed, found.dropped)


def test_a_table_on_disk_is_that_in_memory(whole, folder):
    found = open_simulations(folder)
    assert all(isinstance(each, np.memmap) for each in found.observed.values())
    assert equal(read(found), whole)
    assert np.load(folder / "observed-0.npy").shape == (40, 2)
    assert str(found) == str(whole)
    assert [len(piece) for piece in found.pieces(10)] == [10, 6]


@pytest.mark.parametrize(
    ("what", "when", "rows"),
    # Flushed are the files of the rows' states and of two sites, and then the manifest; before
    # all that, the first manifest.
    [("rows", 22, 20), ("flush", 0, None), ("flush", 3, 0), ("flush", 5, 5), ("flush", 13, 15)],
)
def test_a_killed_run_goes_on_to_the_same_table(what, when, rows, whole, tmp_path):
    folder = tmp_path / "sims"
    script = [sys.executable, "-c", KILLED, folder, what, str(when)]
    assert subprocess.run(script, check=False).returncode == -9
    if rows:
        left = open_simulations(folder)
        assert left.dropped["not simulated yet"] == 40 - rows
        kept = whole.latent["row"][whole.latent["row"] < rows]
        np.testing.assert_array_equal(read(left).latent["row"], kept)
    elif rows == 0:
        with pytest.raises(ValueError, match="none of the 40 simulations in"):
            open_simulations(folder)
    assert equal(read(run_simulations(BOX, 40, chunk_size=5, folder=folder)), whole)


def test_a_run_that_fails_keeps_its_chunks(whole, tmp_path):
    def stop(values, rng):
        if values["row"] == 33:
            raise KeyboardInterrupt
        return fail_sometimes(values, rng)

    with pytest.raises(KeyboardInterrupt) as caught:
        run_simulations(BlackBox(number_rows, stop), 40, chunk_size=5, folder=tmp_path)
    assert "the same call goes on" in caught.value.__notes__[0]
    assert open_simulations(tmp_path).dropped["not simulated yet"] == 10
    assert equal(read(run_simulations(BOX, 40, chunk_size=5, folder=tmp_path)), whole)


def test_only_what_is_missing_is_simulated(tmp_path):
    calls = []

    def simulate(first_row, size):
        calls.append((first_row, size))
        mu = np.arange(first_row, first_row + size)
        return {"latent": {"mu": mu}, "observed": {"y": mu / 2}}

    run_simulations(simulate, 10, chunk_size=4, folder=tmp_path)
    assert calls == [(0, 4), (4, 4), (8, 2)]
    calls.clear()
    found = run_simulations(simulate, 15, folder=tmp_path)
    assert calls == [(8, 2), (10, 4), (14, 1)]  # the first to see that it is the same simulator
    assert found.observed["y"].tolist() == (np.arange(15) / 2).tolist()
    assert len(open_simulations(tmp_path)) == 15


def test_an_extended_table_is_one_of_that_size(folder):
    for size in (41, 60):
        found = run_simulations(BOX, size, folder=folder)
        assert equal(read(found), run_simulations(BOX, size))
    assert sum(found.dropped.values()) == 36


def test_failures_alone_are_kept_too(tmp_path):
    def simulate(values, rng):
        raise ValueError("never")

    for _ in range(2):
        with pytest.raises(ValueError, match=r"all 30 simulations failed, 30 .*: never;"):
            run_simulations(BlackBox(number_rows, simulate), 30, chunk_size=10, folder=tmp_path)


def test_processes_fill_a_table(tmp_path):
    box = BlackBox(draw_prior, count)
    found = run_simulations(box, 40, chunk_size=4, num_jobs=2, folder=tmp_path)
    assert equal(read(found), run_simulations(box, 40))


def change_one_row(values, rng):
    return fail_sometimes(values, rng) + (values["row"] == 4)


@pytest.mark.parametrize(
    ("box", "arguments", "message"),
    [
        (BlackBox(number_rows, fail_sometimes, seed=1), {}, "seed is 0 in .* and 1 now"),
        (lambda f, n: BOX(f, n), {}, "seed is 0 in .* and None now"),
        (BlackBox(number_rows, change_one_row), {}, r"site 'x' of row 4 is 4 .* and 5 now"),
        (BlackBox(number_rows, lambda v, rng: np.ones(2)), {}, "row 1 is failed .* sound now"),
        (BlackBox(number_rows, lambda v, rng: 1.0), {}, r"'x' has shape \(\) in row 0"),
        (BlackBox(number_rows, fail_sometimes, observed="y"), {}, r"sites \['y'\].*\['x'\]"),
        (BOX, {"chunk_size": 6}, "chunk_size is 5 in .* and 6 now"),
        (BOX, {"num_simulations": 39}, r"one of 40 simulations, and 39 .*take\(slice\(39\)\)"),
    ],
)
def test_a_table_of_something_else_is_refused_and_stays(box, arguments, message, whole, folder):
    with pytest.raises(ValueError, match=message):
        run_simulations(box, **{"num_simulations": 40, "folder": folder, **arguments})
    assert equal(read(open_simulations(folder)), whole)


def test_rounding_is_no_other_simulator(folder):
    def simulate(values, rng):
        return fail_sometimes(values, rng) * (1 + 1e-7)

    run_simulations(BlackBox(number_rows, simulate), 45, folder=folder)
    assert len(open_simulations(folder)) == 18


def test_folders_of_other_things_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds \['notes.txt'\] and no simulations"):
        run_simulations(BOX, 40, folder=tmp_path)
    with pytest.raises(FileNotFoundError, match=r"open_simulations: .* holds no simulations.json"):
        open_simulations(tmp_path)


def test_one_process_at_a_time(tmp_path):
    with hold_folder(tmp_path), pytest.raises(RuntimeError, match="another process simulates"):
        run_simulations(BOX, 40, folder=tmp_path)


def break_manifest(folder, **changed):
    path = folder / "simulations.json"
    # As of format 1, which had no checksum.
    content = json.loads(path.read_text()) | {"format": 1} | changed
    content.pop("checksum")
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "simulations.json").write_text("{"), "simulations.json' is damaged"),
        (lambda f: (f / "simulations.json").write_text("[]"), "simulations.json' is damaged"),
        (lambda f: break_manifest(f, numbers=[40, 40]), "contradict each other"),
        (lambda f: break_manifest(f, complete=[[0, 9]]), "contradict each other"),
        (lambda f: break_manifest(f, chunk_size=0), "simulations.json' is damaged"),
        (lambda f: break_manifest(f, format=3), "has format 3, written by"),
        (lambda f: (f / "observed-0.npy").unlink(), "observed-0.npy' is missing"),
        (lambda f: (f / "rows.npy").write_bytes(b"\x93NUMPY"), "rows.npy' is missing, cut off"),
        (lambda f: np.save(f / "latent-0.npy", np.zeros(39)), r"float64 of shape \(39,\), not"),
        (
            lambda f: np.save(f / "latent-0.npy", np.array([print] * 40)),
            "latent-0.npy' is missing",
        ),
    ],
)
def test_what_is_damaged_is_named(damage, message, folder):
    damage(folder)
    with pytest.raises(ValueError, match=message):
        open_simulations(folder)


def measure(run):
    """Most bytes that were allocated at once, and the result."""
    tracemalloc.start()
    try:
        found = run()
        return tracemalloc.get_traced_memory()[1], found
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_table(tmp_path):
    def simulate(first_row, size):
        rows = np.arange(first_row, first_row + size, dtype=float)
        y = np.repeat(rows[:, None], 1000, axis=1)
        y[rows % 100 == 7] = np.nan
        return {"latent": {"mu": rows}, "observed": {"y": y}}

    allowed = 6e6  # a tenth of the table
    written, found = measure(
        lambda: run_simulations(simulate, 8000, chunk_size=100, folder=tmp_path)
    )
    assert found.observed["y"].nbytes > 10 * allowed
    assert written < allowed

    def go_through():
        opened = open_simulations(tmp_path)
        order = np.random.default_rng(0).permutation(len(opened))
        for batch in np.array_split(order, 80):
            part = opened.take(batch)
            np.testing.assert_array_equal(part.observed["y"][:, 5], part.latent["mu"])
        return sum(len(piece) for piece in opened.pieces())

    used, rows = measure(go_through)
    assert rows == 7920
    assert used < allowed
    # A map of one's own, of which nobody knows the rows that are not finite.
    maps = [np.load(tmp_path / name, mmap_mode="r") for name in ("latent-0.npy", "observed-0.npy")]
    used, found = measure(lambda: Simulations({"mu": maps[0]}, {"y": maps[1]}))
    assert len(found) == 7920
    assert found.observed["y"] is maps[1]
    assert used < allowed


def test_commits_wait_for_each_other(tmp_path, monkeypatch):
    commits = []
    write = folder_table.write_manifest

    def note(folder, manifest):
        commits.append(len(manifest.complete))
        write(folder, manifest)

    monkeypatch.setattr(folder_table, "write_manifest", note)
    monkeypatch.setattr(folder_table, "_COMMIT_SECONDS", 1e6)
    run_simulations(BOX, 40, chunk_size=5, folder=tmp_path)
    assert commits == [1, 8]
