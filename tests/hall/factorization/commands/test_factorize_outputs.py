"""The outputs of ``factorize`` appear together or not at all, and a file of tests may hold
strangers."""

import os

import numpy as np
import pytest
from matplotlib.figure import Figure

from ppl_ext.commands import cli, factorize
from ppl_ext.factorization import Factors, load_factors, simulate_ratings

RATINGS = simulate_ratings(num_users=60, num_items=40, density=0.3, seed=1).ratings
QUICK = ["--factors", "2", "--max-sweeps", "8", "--threads", "1"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("ratings") / "ratings.data"
    columns = RATINGS.users, RATINGS.items, RATINGS.values
    path.write_text("".join(f"{u}\t{i}\t{v:.3f}\n" for u, i, v in zip(*columns, strict=True)))
    return path


def run(folder, *words):
    return cli.main(["factorize", *map(str, words), "--out", str(folder), *QUICK])


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_error_after_the_fit_leaves_the_earlier_run_as_it_was(
    table, tmp_path, monkeypatch, capsys
):
    assert run(tmp_path, table) == 0
    before = contents(tmp_path)
    assert len(before) == 7

    def fail(*arguments):
        # The report is out before anything is written.
        assert "verdict" in capsys.readouterr().out
        raise OSError("no space left on device")

    monkeypatch.setattr(factorize, "_write_top_n", fail)
    assert run(tmp_path, table, "--seed", "5") == 1
    assert "no space left on device" in (said := capsys.readouterr().err)
    kept = tmp_path / "checkpoint.safetensors"
    assert f"--start {kept}" in said
    assert load_factors(kept).sweeps == 8
    kept.unlink()
    assert contents(tmp_path) == before


def test_a_move_that_fails_is_undone(table, tmp_path, monkeypatch):
    assert run(tmp_path, table) == 0
    before = contents(tmp_path)
    move, moves = os.replace, []

    def fail(old, new):
        if "/new/" in str(old):
            moves.append(old)
            if len(moves) == 3:
                raise OSError("no more")
        move(old, new)

    monkeypatch.setattr(os, "replace", fail)
    assert run(tmp_path, table, "--seed", "5") == 1
    (tmp_path / "checkpoint.safetensors").unlink()
    assert contents(tmp_path) == before


def test_outputs_of_another_run_do_not_stay(table, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    assert run(tmp_path, table) == 0
    assert run(tmp_path, table, "--test-fraction", "0", "--top-n", "0") == 0
    assert set(contents(tmp_path)) == {
        "factors.safetensors", "report.txt", "convergence.png", "ratings.png", "notes.txt",
    }  # fmt: skip


def test_a_file_of_tests_may_hold_strangers(table, tmp_path, capsys):
    test = tmp_path / "test.csv"
    test.write_text("user,item,rating\n3,5,4\n999,5,3\n3,888,2\n999,888,3.5\n")
    assert run(tmp_path / "out", table, "--test", test) == 0
    printed = capsys.readouterr().out
    assert "apart     3 by users or of items that are new: RMSE" in printed
    factors = load_factors(tmp_path / "out" / "factors.safetensors")
    assert isinstance(factors, Factors)
    found = np.loadtxt(tmp_path / "out" / "predictions.csv", delimiter=",", skiprows=1)
    assert found[:, :2].astype(int).tolist() == [[3, 5], [3, 888], [999, 5], [999, 888]]
    prediction = factors.predict([3, 3, 999, 999], [5, 888, 5, 888])
    np.testing.assert_allclose(found[:, 3], prediction.mean, atol=1e-5)
    np.testing.assert_allclose(found[:, 4], prediction.sd, atol=1e-5)


def test_a_file_of_tests_has_text_where_the_table_has(tmp_path, capsys):
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    rows = [f"{u},{i},{(u * i) % 5}" for u in range(12) for i in range(8)]
    train.write_text("user,item,rating\nann,3,4\n" + "\n".join(rows) + "\n")
    test.write_text("user,item,rating\n3,5,4\n4,6,4\n")
    assert run(tmp_path / "out", train, "--test", test) == 0
    assert "apart" not in capsys.readouterr().out


def test_pictures_hide_nothing(table, tmp_path, monkeypatch):
    figures = {}

    def keep(figure, path, **settings):
        figure.canvas.draw()
        figures[path.name] = figure
        path.write_bytes(b"")

    monkeypatch.setattr(Figure, "savefig", keep)
    assert run(tmp_path, table, "--top-n", "0") == 0
    ax = figures["convergence.png"].axes[0]
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["ELBO", "end: reached max_steps=8"]
    # The legend is above what it explains, the axis has no offset, the note is clear of the curve.
    assert ax.get_legend().get_window_extent().y0 >= ax.get_window_extent().y1 - 1
    assert ax.yaxis.get_offset_text().get_text() == ""
    curve = ax.transData.transform(ax.lines[0].get_xydata())
    for note in ax.texts:
        assert not any(note.get_window_extent().contains(*point) for point in curve)
    colours = figures["ratings.png"].axes[0].images[0].get_clim()
    assert RATINGS.values.min() - 1e-3 <= colours[0] < colours[1] <= RATINGS.values.max() + 1e-3
