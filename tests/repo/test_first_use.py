"""Every combination of extras imports and fits where nothing else is installed."""

import os
import subprocess

import pytest

from tests.hosts import ALL_HOSTS, HOST_NAMES
from tests.repo.environments import list_requirements, make_environment
from tests.repo.source import ROOT

COMBINATIONS = [
    (), ("factorization",), ("parallel",), ("calibration",), ("cytometry",),
    ("pyro",), ("pyro", "plots"), ("numpyro",), ("numpyro", "plots"),
    (
        "pyro", "numpyro", "plots", "factorization", "enumeration", "parallel", "calibration",
        "cytometry",
    ),
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
    own = [list_requirements("ppl-ext", extra) for extra in COMBINATIONS[-1]]
    assert list_requirements("ppl-ext", "all") == set().union(*own)


def test_what_an_extra_does_not_bring_is_absent(tmp_path):
    python = make_environment(tmp_path / "env", without=("scipy",))
    for name in ("scipy", "pytest", "numba"):
        process = run(python, "-c", f"import {name}")
        assert process.stderr.strip().endswith(f"ModuleNotFoundError: No module named '{name}'")


@pytest.mark.parametrize("host", HOST_NAMES)
def test_the_doctor_is_content_with_one_host(host, tmp_path):
    process = run(make_environment(tmp_path / "env", host), "-m", "ppl_ext", "doctor")
    assert process.returncode == 0, process.stdout + process.stderr
    advice = process.stdout.partition("What to do")[2]
    for extra in COMBINATIONS[-1]:
        if extra in ALL_HOSTS:
            continue
        assert f'install it with pip install "ppl-ext[{extra}]", or do without.' in advice
    assert not any(f"[{host}]" in advice for host in ALL_HOSTS)


@pytest.mark.parametrize("host", HOST_NAMES)
def test_the_doctor_names_what_is_missing(host, tmp_path):
    missing = {"pyro": "opt-einsum", "numpyro": "multipledispatch"}[host]
    module = missing.replace("-", "_")
    python = make_environment(tmp_path / "env", host, without=(missing,))
    process = run(python, "-m", "ppl_ext", "doctor")
    assert process.returncode == 1
    failure = f"ModuleNotFoundError: No module named '{module}'"
    assert f"`import ppl_ext.{host}` fails ({failure})" in process.stdout
    assert f'pip install "ppl-ext[{host}]" brings {module}.' in process.stdout


def test_the_doctor_knows_who_brings_what_another_part_misses(tmp_path):
    script = (
        "from ppl_ext.commands import doctor\n"
        "part = doctor.Part('solver', '', 'ppl_ext.factorization.solver.sweeps')\n"
        "print(*doctor._examine(part).remarks)"
    )
    process = run(make_environment(tmp_path / "env"), "-c", script)
    assert "No module named 'numba'" in process.stdout, process.stderr
    assert 'pip install "ppl-ext[factorization]" brings numba.' in process.stdout


def test_the_doctor_asks_for_a_host(tmp_path):
    process = run(make_environment(tmp_path / "env"), "-m", "ppl_ext", "doctor")
    assert process.returncode == 1
    assert "No host is ready" in process.stdout
