"""Minibatches divided among the devices of one process."""

import os
import subprocess
import sys

import numpy as np

from tests.repo.source import ROOT
from tests.rooms.minibatch_process import fit


def test_two_devices_make_the_steps_of_one(tmp_path):
    command = [sys.executable, "-m", "tests.rooms.minibatch_process", "numpyro", "0", "1", "0"]
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    subprocess.run([*command, str(tmp_path / "found")], cwd=ROOT, env=environment, check=True)
    found = np.load(tmp_path / "found.0.npz")
    # Of two devices each took a part; one takes one after the other.
    divided, _ = fit("numpyro", num_parts=2)
    whole, _ = fit("numpyro")
    np.testing.assert_allclose(found["losses"], divided.log.losses, rtol=1e-5)
    assert not np.allclose(whole.log.losses, divided.log.losses, rtol=1e-3)
