"""``python -m ppl_ext factorize``: what it writes is what the library says, and bad input is
refused by name, with exit status 1."""

import csv
import os
import signal
import subprocess
import sys

import numpy as np
import pandas
import pytest

from ppl_ext.commands import cli, factorize
from ppl_ext.factorization import (
    MatrixFactorization,
    load_factors,
    simulate_ratings,
)
from ppl_ext.factorization.solver.sweeps import Sweeper

RATINGS = simulate_ratings(num_users=60, num_items=40, density=0.3, seed=1).ratings
USERS = np.char.add("u", RATINGS.users.astype(str))
TWO = "user,item,rating\n1,2,3\n2,2,3\n"
QUICK = ["--factors", "2", "--max-sweeps", "8", "--threads", "1"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("ratings") / "ratings.csv"
    frame = pandas.DataFrame({"user": USERS, "item": RATINGS.items, "rating": RATINGS.values})
    frame.assign(time=np.arange(len(frame))).to_csv(path, index=False)
    return path


def run(folder, *words):
    return cli.main(["factorize", *map(str, words), "--out", str(folder), *QUICK])


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_simulated_ratings_are_compared_with_their_truth(tmp_path, capsys):
    assert cli.main(["factorize", "--out", str(tmp_path / "new" / "folder"), "--top-n", "0"]) == 0
    printed = capsys.readouterr().out
    report = (tmp_path / "new" / "folder" / "report.txt").read_text()
    assert report in printed
    labels = {line[:10].strip() for line in report.splitlines()}
    assert labels >= {"ratings", "model", "sweeps", "ELBO", "RMSE", "NLL", "coverage", "truth"}
    words = dict(line.split(maxsplit=1) for line in report.splitlines() if line[0] != " ")
    assert words["verdict"] == "The intervals can be trusted on ratings like these."
    missed, claimed = (float(word) for word in words["truth"].replace(",", "").split()
                       if word[:2] == "0.")  # fmt: skip
    assert 0.8 < missed / claimed < 1.25
    written = {path.name for path in (tmp_path / "new" / "folder").iterdir()}
    assert written == {
        "factors.safetensors", "predictions.csv", "report.txt", "convergence.png",
        "calibration.png", "ratings.png",
    }  # fmt: skip
    for picture in (tmp_path / "new" / "folder").glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert picture.name in printed


def test_files_hold_what_the_factors_say(table, tmp_path):
    assert run(tmp_path, table, "--level", "0.8", "--top-n", "3") == 0
    factors = load_factors(tmp_path / "factors.safetensors")
    rows = read(tmp_path / "predictions.csv")
    assert len(rows) == round(0.1 * len(RATINGS))
    pairs = zip(USERS.tolist(), RATINGS.items.astype(str).tolist(), strict=True)
    known = dict(zip(pairs, RATINGS.values, strict=True))
    for row in rows[:20]:
        prediction = factors.predict(row["user"], int(row["item"]))
        low, high = prediction.interval(0.8)
        wanted = [known[row["user"], row["item"]], prediction.mean, prediction.sd, low, high]
        found = [float(row[name]) for name in ("rating", "mean", "sd", "low", "high")]
        np.testing.assert_allclose(found, wanted, atol=1e-5)
    ranked = read(tmp_path / "top_n.csv")
    assert len(ranked) == 3 * len(set(USERS))
    assert not {(row["user"], row["item"]) for row in ranked} & set(known)
    first = ranked[0]
    assert float(first["mean"]) == pytest.approx(
        factors.predict(first["user"], int(first["item"])).mean, abs=1e-5
    )


def test_features_bring_in_those_without_ratings(table, tmp_path, capsys):
    features = tmp_path / "items.csv"
    lines = [f"{item},{item % 3},{'odd' if item % 2 else 'even'}" for item in range(41)]
    features.write_text("label,size,kind\n" + "\n".join(lines) + "\n")
    assert run(tmp_path, table, "--item-features", features, "--top-n", "41") == 0
    assert "3 features of items" in capsys.readouterr().out
    factors = load_factors(tmp_path / "factors.safetensors")
    assert factors.items.regression.names == ("size", "kind=even", "kind=odd")
    assert len(factors.items) == 41
    assert sum(row["item"] == "40" for row in read(tmp_path / "top_n.csv")) == len(set(USERS))


def test_nothing_set_aside_and_no_pictures(table, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(factorize, "find_spec", lambda name: None)
    assert run(tmp_path, table, "--test-fraction", "0", "--top-n", "0") == 0
    assert 'pip install "ppl-ext[plots]"' in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"factors.safetensors", "report.txt"}
    assert "No ratings were set aside" in (tmp_path / "report.txt").read_text()


def test_latest_ratings_can_be_set_aside(table, tmp_path):
    assert run(tmp_path, table, "--latest", "--top-n", "0") == 0
    aside = {(row["user"], int(row["item"])) for row in read(tmp_path / "predictions.csv")}
    count = len(RATINGS) - len(aside)
    assert aside == set(zip(USERS[count:].tolist(), RATINGS.items[count:].tolist(), strict=True))


def test_a_fit_can_go_on(table, tmp_path, capsys):
    assert run(tmp_path / "a", table) == 0
    assert run(tmp_path / "b", table, "--start", tmp_path / "a" / "factors.safetensors") == 0
    assert load_factors(tmp_path / "b" / "factors.safetensors").sweeps > 8


def test_ratings_held_out_end_the_fit(table, tmp_path, capsys):
    words = ["--hold-out", "0.2", "--max-sweeps", "100"]
    assert cli.main(["factorize", str(table), "--out", str(tmp_path), *words]) == 0
    printed = capsys.readouterr().out
    assert "the ratings held out became no likelier in 3 sweeps" in printed
    counts = {int(word.replace(",", "")) for word in printed.split() if word.rstrip(",").isdigit()}
    assert round(0.8 * (len(RATINGS) - round(0.1 * len(RATINGS)))) in counts


def test_options_reach_the_model(table, tmp_path, monkeypatch):
    seen = []
    fit = MatrixFactorization.fit
    monkeypatch.setattr(
        MatrixFactorization, "fit", lambda self, *a, **k: seen.append(self) or fit(self, *a, **k)
    )
    words = ["--prior", "ard", "--equal-noise", "--diagonal", "--seed", "3", "--num-starts", "2"]
    assert run(tmp_path, table, *words, "--top-n", "0") == 0
    model = seen[0]
    assert (type(model.user_prior).__name__, model.noise.by_item) == ("ARD", False)
    assert (model.diagonal, model.seed, model.num_starts, model.num_factors) == (True, 3, 2, 2)


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        (None, [], "there is no file '.*ratings.csv'"),
        ("", [], "'ratings.csv' is empty"),
        ("who,item,rating\n1,2,3\n", [], "none is called like a user"),
        ("user,item,rating\n1,2,3\n", ["--rating", "r"], "expected 'r' among them"),
        ("user,item,rating\n1,2,nan\n", [], "line 2 of 'ratings.csv' has 'nan' as its rating"),
        ("user,item,rating\n1,2,3\n1,2,4\n", [], "rates item 2 by user 1 again"),
        ("user,item,rating\n1,2,9\n", ["--scale", "1", "5"], "has the value 9; expected 1 to 5"),
        ("user,item,rating\n1,2,3\n1,3", [], "line 3 .* has 2 fields.*cut off"),
        ("user,item,rating\n1,2,3\n", [], "fraction=0.1 of 1 ratings leaves one part empty"),
        ("user,item,rating\n1,2,3\n", ["--level", "90"], "--level 90; expected a probability"),
        ("user,item,rating\n1,2,3\n", ["--top-n", "5"], "--top-n 5 of 1 items"),
        (TWO, ["--test-fraction", "0", "--hold-out", "2"], "fraction=2.0 of 2 ratings leaves"),
        ("user,item,rating\n1,2,3\n", ["--factors", "0"], "num_factors=0"),
        ("user,item,rating\n1,2,3\n", ["--latest"], "have no times"),
        ("user,item,rating\n1,2,3\n", ["--start", "none"], "there is no file 'none'"),
        ("user,item,rating\n1,2,3\n", ["--user-features", "none"], "there is no file 'none'"),
    ],
)
def test_bad_input_is_refused(tmp_path, capsys, text, words, message):
    path = tmp_path / "ratings.csv"
    if text is not None:
        path.write_text(text)
    words = ["--top-n", "0", *words] if "--top-n" not in words else words
    assert cli.main(["factorize", str(path), "--out", str(tmp_path / "out"), *words]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("factorize: ")
    assert pandas.Series([printed.err]).str.contains(message).all(), printed.err
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (b"item,x\n0,1\n", "item_features has no row for"),
        (b"item,x\n0,\n", "'x' of 0 is nan; expected a finite number"),
        (b"item,x\n\xff\xfe,1\n", "'features.csv' is no table"),
        (b"", "'features.csv' is no table"),
        ("item,x\n" + "".join(f"{i},w{i}\n" for i in range(300)), "holds 300 different words"),
    ],
)
def test_bad_features_are_refused(table, tmp_path, capsys, features, message):
    path = tmp_path / "features.csv"
    path.write_bytes(features if isinstance(features, bytes) else features.encode())
    assert run(tmp_path / "out", table, "--item-features", path) == 1
    assert message in capsys.readouterr().err


def test_a_table_with_few_items_ranks_all_of_them(tmp_path):
    path = tmp_path / "few.csv"
    rows = [f"ann{i},{j},{(i * j) % 5}" for i in range(8) for j in range(4) if i != j]
    path.write_text("user,item,rating\n" + "\n".join(rows), encoding="utf-8")
    assert run(tmp_path / "out", path) == 0
    assert max(int(row["rank"]) for row in read(tmp_path / "out" / "top_n.csv")) <= 4


def test_an_interruption_keeps_what_was_reached(table, tmp_path, monkeypatch, capsys):
    original = Sweeper.sweep

    def interrupt(self, state):
        if state.sweeps == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, state)

    monkeypatch.setattr(Sweeper, "sweep", interrupt)
    assert run(tmp_path, table) == 0
    assert "4 in 0.0 s; interrupted" in capsys.readouterr().out
    assert load_factors(tmp_path / "factors.safetensors").sweeps == 4
    assert (tmp_path / "predictions.csv").exists()


def test_an_interruption_before_the_first_sweep(table, tmp_path, monkeypatch, capsys):
    def interrupt(self, *args, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(MatrixFactorization, "fit", interrupt)
    assert run(tmp_path, table) == 1
    assert "nothing was fitted" in capsys.readouterr().err


def test_no_traceback_reaches_the_terminal(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "ppl_ext", "factorize", "none.csv", "--out", str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "factorize: there is no file 'none.csv'. Check the path.\n"
