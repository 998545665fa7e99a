"""Trainings that are killed on the way and go on to the same answer, in both rooms."""

import subprocess
import sys

import numpy as np
import pytest

from ppl_ext.npe.checkpoint import Checkpoint
from tests.hosts import MAKERS
from tests.repo.source import ROOT

# What a child process runs: it is killed while it writes the checkpoint of the fourth look.
CHILD = """
import os, signal, sys
from ppl_ext.npe.checkpoint import Checkpoint
from tests.rooms.test_npe_checkpoint import learn

write = Checkpoint.write

def killed(self, *parts):
    if parts[-1].num_looks == 4:
        os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)
    write(self, *parts)

Checkpoint.write = killed
learn(sys.argv[1], sys.argv[2])
"""


def learn(name, path, *, seed=0, num_simulations=300, step_size=2e-3, model=None, rows=2):
    """Train on fresh pairs with missing rows, which all hang on the random state."""
    host = MAKERS[name]()

    def two_rows(y):
        mu = host.ppl.sample("mu", host.dist.Normal(0.0, 1.0))
        with host.ppl.plate("row", rows):
            host.ppl.sample("y", host.dist.Normal(mu, 1.0), obs=y)

    npe = host.room.NPE(
        model or two_rows,
        host.array(np.zeros(rows)),
        estimator=host.room.npe.FullRankGaussian,
        missing=True,
    )
    settings = host.room.npe.Training(num_members=2, max_epochs=6, step_size=step_size)
    options = {"fresh": True, "settings": settings, "checkpoint": path, "progress_bar": False}
    return host.random(npe.train, num_simulations, seed=seed, **options)


def describe(npe):
    points = np.linspace(-2, 2, 9)
    return npe.posterior(np.array([0.5, 1.5])).log_prob({"mu": points})


@pytest.fixture(scope="module")
def undisturbed(host):
    return learn(host.name, None)


def expect_same(npe, undisturbed):
    np.testing.assert_array_equal(describe(npe), describe(undisturbed))
    np.testing.assert_array_equal(npe.log.losses, undisturbed.log.losses)
    np.testing.assert_array_equal(npe.log.held_out, undisturbed.log.held_out)
    assert npe.log.reason == undisturbed.log.reason


def test_after_a_kill_the_answer_is_that_of_an_undisturbed_training(host, undisturbed, tmp_path):
    path = tmp_path / "npe.safetensors"
    call = [sys.executable, "-c", CHILD, host.name, str(path)]
    child = subprocess.run(call, cwd=ROOT, capture_output=True, check=False)
    assert child.returncode == -9, child.stderr.decode()
    expect_same(learn(host.name, path), undisturbed)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_an_error_at_a_look_costs_nothing(host, undisturbed, tmp_path, monkeypatch):
    write, path = Checkpoint.write, tmp_path / "npe.safetensors"

    def failing(self, *parts):
        write(self, *parts)
        if parts[-1].num_looks == 2:
            raise OSError("no space left")

    monkeypatch.setattr(Checkpoint, "write", failing)
    with pytest.raises(OSError, match="no space"):
        learn(host.name, path)
    monkeypatch.undo()
    expect_same(learn(host.name, path), undisturbed)
    # One that has ended is read and not trained again; another training is refused by name.
    expect_same(learn(host.name, path), undisturbed)
    for other, message in (
        ({"step_size": 1e-3}, "settings.step_size was 0.002, and is 0.001"),
        ({"seed": 1}, "the key or seed was"),
        ({"num_simulations": 301}, "the number of fresh pairs was 300, and is 301"),
        ({"rows": 3}, "the observed sites was"),
        ({"model": wide_model(host)}, "the checksum of the pairs was"),
    ):
        with pytest.raises(ValueError, match=message):
            learn(host.name, path, **other)
    with pytest.raises(FileNotFoundError, match="checkpoint"):
        learn(host.name, tmp_path / "nowhere" / "npe.safetensors")


def wide_model(host):
    def model(y):
        mu = host.ppl.sample("mu", host.dist.Normal(0.0, 1.0))
        with host.ppl.plate("row", 2):
            host.ppl.sample("y", host.dist.Normal(mu, 2.0), obs=y)

    return model
