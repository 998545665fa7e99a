"""The doctor: what it finds, and what it tells a user to do."""

from importlib import metadata

import pytest

from ppl_ext.commands import doctor
from ppl_ext.commands.doctor import Checkup, Finding
from ppl_ext.commands.requirements import PARTS, Package

BASE, NUMPYRO, PYRO, PLOTS, FACTORIZATION = PARTS


@pytest.fixture
def machine(monkeypatch):
    """A machine of which the test says what is installed and what fails to import."""
    versions = {p.name: p.tested_here for part in PARTS for p in part.packages}
    failures: dict[str, str] = {}

    def find(name: str) -> str:
        if versions[name] is None:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(doctor.metadata, "version", find)
    monkeypatch.setattr(doctor, "_try_import", lambda module: failures.get(module, ""))
    return versions, failures


def remove(versions, part):
    versions.update({package.name: None for package in part.packages})


def test_a_healthy_machine_needs_nothing(machine):
    checkup = doctor.check_up()
    assert checkup.ok
    assert checkup.advice == ()
    for part in PARTS:
        for package in part.packages:
            assert package.name in str(checkup)
            assert package.tested_here in str(checkup)
        assert f"\n{part.name} " in str(checkup)


def test_one_host_is_enough(machine):
    remove(machine[0], PYRO)
    checkup = doctor.check_up()
    assert checkup.ok
    assert checkup.advice == ()


def test_no_host_is_not_enough(machine):
    remove(machine[0], PYRO)
    remove(machine[0], NUMPYRO)
    checkup = doctor.check_up()
    assert not checkup.ok
    assert 'pip install "ppl-ext[numpyro]"' in checkup.advice[0]
    assert 'pip install "ppl-ext[pyro]"' in checkup.advice[0]


def test_plots_are_optional(machine):
    remove(machine[0], PLOTS)
    checkup = doctor.check_up()
    assert checkup.ok
    assert 'pip install "ppl-ext[plots]"' in checkup.advice[0]


def test_half_a_host_is_named(machine):
    machine[0]["optax"] = None
    checkup = doctor.check_up()
    assert not checkup.ok
    assert "optax is missing" in checkup.advice[0]


def test_a_version_out_of_range_is_named(machine):
    machine[0]["numpyro"] = "0.19.0"
    advice = doctor.check_up().advice
    assert "numpyro 0.19.0 is not supported" in advice[0]
    assert "numpyro==0.22.0" in advice[0]


def test_what_does_not_import_is_broken(machine):
    machine[1]["arviz_plots"] = "AttributeError: module 'matplotlib.style' has no attribute 'core'"
    checkup = doctor.check_up()
    assert not checkup.ok
    assert "has no attribute 'core'" in checkup.advice[0]
    assert f"matplotlib=={PLOTS.packages[1].tested_here}" in checkup.advice[0]


def test_imports_are_tried_in_another_process():
    assert doctor._try_import("json") == ""
    assert "no_such_module" in doctor._try_import("no_such_module")


def test_versions_are_compared_as_numbers():
    package = Package("torch", oldest="2.4", tested=("2.13.0",), below="3")
    assert [package.accepts(v) for v in ("2.13.0+cpu", "2.4", "2.4.0rc1", "2.3.9", "3.0")] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_states():
    names = {package.name: None for package in PYRO.packages}
    assert Finding(PYRO, names).state == "not installed"
    assert Finding(PYRO, names | {"torch": "2.13.0"}).state == "incomplete"
    assert not Checkup("", (Finding(PYRO, names),)).ok
