"""What the benchmark of neural posterior estimation runs, keeps and does not run again."""

import json
import sys

import npe
import numpy as np
import pytest


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Run the command on one task, its measurements replaced: returns what was measured."""
    folder = tmp_path / "sbibm"
    folder.mkdir()
    np.savez(folder / "two_moons.npz", observation=np.zeros((10, 2)))

    def run(*arguments, fails=False):
        asked = []

        def measure(function, *, draws, observation=None, **settings):
            asked.append(observation or function)
            if fails:
                return {"failure": "no reason"}
            if observation:
                return {"c2st": {"plain": 0.5 + observation / 100}, "score_cpu": 1.0}
            pairs = np.load(settings["pairs"])
            assert {name: pairs[name].shape for name in pairs} == {
                **{"theta": (50, 2), "x": (50, 2), "observations": (10, 2)},
                **{"theta_test": (10_000, 2), "x_test": (10_000, 2)},
            }
            np.savez(draws, plain=np.zeros((10, 5, 2)))
            return {"fit_cpu": 2.0, "log_density": 3.0, "draw_cpu": 4.0}

        monkeypatch.setattr(npe, "measure", measure)
        command = ["npe.py", str(tmp_path), "--json", str(tmp_path / "rows.jsonl")]
        command += ["--tasks", "two_moons", "--budgets", "50", "--contenders", "ours-pyro"]
        monkeypatch.setattr(sys, "argv", [*command, *arguments])
        npe.main()
        return asked

    return run


def test_kept_results_are_not_measured_again(call, tmp_path, capsys):
    learn = "contenders.npe_on_pyro:learn"
    assert call("--observations", "1", "2") == [learn, 1, 2]
    assert call("--observations", "1", "2", "4") == [4]
    assert call("--observations", "1", "2", "4") == []
    assert call("--observations", "1", "--seeds", "0", "1") == [learn, 1]
    rows = (tmp_path / "rows.jsonl").read_text().splitlines()
    assert [json.loads(row).get("observation") for row in rows] == [None, 1, 2, 4, None, 1]
    capsys.readouterr()
    call("--observations", "1", "4")
    table = capsys.readouterr().out.strip().splitlines()
    assert table[-1].split()[3:6] == ["1", "0.525", "0.540"]  # a run, mean and worst C2ST


def test_a_failure_is_told_and_tried_again(call, capsys):
    learn = "contenders.npe_on_pyro:learn"
    assert call("--observations", "1", fails=True) == [learn]
    assert "failed: no reason" in capsys.readouterr().out
    assert call("--observations", "1") == [learn, 1]


def test_draws_that_were_lost_are_made_again(call, tmp_path):
    learn = "contenders.npe_on_pyro:learn"
    call("--observations", "1")
    (tmp_path / "rows.draws" / "two_moons_50_0_ours-pyro.npz").unlink()
    assert call("--observations", "1") == []
    assert call("--observations", "1", "3") == [learn, 3]
