"""Every combination of extras imports and fits where nothing else is installed."""

import os
import subprocess

import pytest

from tests.hosts import ALL_HOSTS, HOST_NAMES
from tests.repo.environments import close_requirements, make_environment
from tests.repo.source import ROOT

COMBINATIONS = [
    (), ("factorization",), ("pyro",), ("pyro", "plots"), ("numpyro",), ("numpyro", "plots"),
    ("pyro", "numpyro", "plots", "factorization"),
]  # fmt: skip
INSTALLED = [
    extras
    for extras in COMBINATIONS
    if all(extra in HOST_NAMES for extra in extras if extra in ALL_HOSTS)
]


def run(python, *arguments):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [python, "-P", *arguments],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("extras", INSTALLED, ids=lambda extras: ",".join(extras) or "none")
def test_an_extra_is_enough(extras, tmp_path):
    process = run(make_environment(tmp_path / "env", *extras), ".ci/first_use.py", *extras)
    assert process.returncode == 0, process.stderr
    assert process.stdout.strip() == f"first use: {', '.join(['hall', *extras])}"


def test_the_extra_all_is_all_extras():
    assert close_requirements("all") == close_requirements(*COMBINATIONS[-1])


def test_what_an_extra_does_not_bring_is_absent(tmp_path):
    python = make_environment(tmp_path / "env", without=("scipy",))
    for name in ("scipy", "pytest", "numba"):
        process = run(python, "-c", f"import {name}")
        assert process.stderr.strip().endswith(f"ModuleNotFoundError: No module named '{name}'")
