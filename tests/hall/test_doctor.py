"""The doctor: what it finds, and what it tells a user to do."""

from importlib import metadata

import pytest
from packaging.specifiers import SpecifierSet

from ppl_ext.commands import doctor
from ppl_ext.commands.doctor import Checkup, Finding
from ppl_ext.commands.requirements import PARTS

BASE, NUMPYRO, PYRO, PLOTS, FACTORIZATION, ENUMERATION, PARALLEL, CALIBRATION, CYTOMETRY = PARTS
RANGES = {
    "": ["numpy>=1.26", "arviz-stats[xarray]>=0.8,<2"],
    "numpyro": ["numpyro>=0.22", "jax>=0.7", "optax>=0.2"],
    "pyro": ["pyro-ppl>=1.9.1,<2", "torch>=2.4"],
    "plots": ["arviz-plots>=0.8,<2", "matplotlib>=3.6", "matplotlib<3.99; python_version>'3'"],
    "factorization": ["numba>=0.61", "numba<0.1; python_version<'3'"],
    "enumeration": ["funsor>=0.4.8"],
    "parallel": ["joblib>=1.4", "cloudpickle>=3"],
    "calibration": ["scikit-learn>=1.4"],
    "cytometry": ["flowio>=1.4,<2"],
}
VERSIONS = {
    "ppl-ext": "0.1.0", "numpy": "2.4.6", "arviz-stats": "0.8.0", "numpyro": "0.22.0",
    "jax": "0.10.2", "optax": "0.2.8", "pyro-ppl": "1.9.2", "torch": "2.13.0+cpu",
    "arviz-plots": "0.8.0", "matplotlib": "3.10.9", "numba": "0.68.1",
    "funsor": "0.4.8", "joblib": "1.6.0", "cloudpickle": "3.1.2", "scikit-learn": "1.9.1",
    "flowio": "1.4.0",
}  # fmt: skip


def write_requirements() -> list[str]:
    """The ranges as the metadata of a package has them."""
    return [
        f"{entry} {'and' if ';' in entry else ';'} extra == '{extra}'" if extra else entry
        for extra, entries in RANGES.items()
        for entry in entries
    ]


@pytest.fixture
def machine(monkeypatch):
    """A machine of which the test says what is installed and what fails to import."""
    versions: dict[str, str | None] = dict(VERSIONS)
    failures: dict[str, str] = {}

    def find(name: str) -> str:
        if (version := versions[name]) is None:
            raise metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(metadata, "requires", lambda name: write_requirements())
    monkeypatch.setattr(metadata, "version", find)
    monkeypatch.setattr(doctor, "_try_import", lambda module: failures.get(module, ""))
    return versions, failures


def remove(versions, part):
    versions.update(dict.fromkeys(part.requirements))


def test_a_part_asks_for_what_its_extra_does(machine):
    assert PYRO.requirements == {
        "pyro-ppl": SpecifierSet(">=1.9.1,<2"), "torch": SpecifierSet(">=2.4"),
    }  # fmt: skip
    assert list(BASE.requirements) == ["numpy", "arviz-stats"]
    assert PLOTS.requirements["matplotlib"] == SpecifierSet(">=3.6,<3.99")
    assert FACTORIZATION.requirements == {"numba": SpecifierSet(">=0.61")}
    assert ENUMERATION.requirements == {"funsor": SpecifierSet(">=0.4.8")}
    assert CYTOMETRY.requirements == {"flowio": SpecifierSet(">=1.4,<2")}
    assert CALIBRATION.requirements == {"scikit-learn": SpecifierSet(">=1.4")}


def test_a_healthy_machine_needs_nothing(machine):
    checkup = doctor.check_up()
    assert checkup.ok
    assert checkup.advice == ()
    for part in PARTS:
        for name, accepted in part.requirements.items():
            assert name in str(checkup)
            assert f"{VERSIONS[name]} " in str(checkup)
            assert str(accepted) in str(checkup)
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
    assert 'pip install "numpyro>=0.22"' in advice[0]


def test_what_does_not_import_is_broken(machine):
    machine[1]["arviz_plots"] = "AttributeError: module 'matplotlib.style' has no attribute 'core'"
    checkup = doctor.check_up()
    assert not checkup.ok
    assert "has no attribute 'core'" in checkup.advice[0]
    assert 'pip install -c constraints.txt ".[plots]"' in checkup.advice[0]


@pytest.mark.parametrize(
    ("module", "extra"),
    [("numba.core", "factorization"), ("arviz_plots", "plots"), ("equinox", "numpyro")],
)
def test_a_missing_module_is_brought_by_its_extra(machine, module, extra):
    machine[1]["ppl_ext.numpyro"] = f"ModuleNotFoundError: No module named '{module}'"
    checkup = doctor.check_up()
    assert not checkup.ok
    assert f"No module named '{module}'" in checkup.advice[0]
    assert checkup.advice[0].endswith(
        f'pip install "ppl-ext[{extra}]" brings {module.partition(".")[0]}.'
    )


def test_a_package_that_is_not_installed_itself(machine):
    machine[0]["ppl-ext"] = None
    checkup = doctor.check_up()
    assert not checkup.ok
    assert "not installed" in checkup.advice[0]
    assert "pip install -c constraints.txt -e" in str(checkup)


def test_imports_are_tried_in_another_process():
    assert doctor._try_import("json") == ""
    assert "no_such_module" in doctor._try_import("no_such_module")


@pytest.mark.parametrize(
    ("version", "supported"),
    [("2.13.0+cpu", True), ("2.4", True), ("2.14.0rc1", True), ("2.3.9", False), ("3.0", False)],
)
def test_versions_are_compared_as_numbers(machine, monkeypatch, version, supported):
    monkeypatch.setitem(RANGES, "pyro", ["torch>=2.4,<3"])
    machine[0]["torch"] = version
    assert doctor.check_up().advice == () or not supported
    assert supported or f"torch {version} is not supported" in doctor.check_up().advice[0]


def test_states():
    names = {"pyro-ppl": None, "torch": None}
    assert Finding(PYRO, names).state == "not installed"
    assert Finding(PYRO, names | {"torch": "2.13.0"}).state == "incomplete"
    assert not Checkup("", (Finding(PYRO, names),)).ok
