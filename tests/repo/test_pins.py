"""The pinned versions are those that the package accepts and that the tests run with."""

import re
import sys
import tomllib
from importlib import metadata

import pytest
from packaging.requirements import Requirement

from tests.repo.source import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REQUIREMENTS = [
    entry
    for listed in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for entry in map(Requirement, listed)
    if entry.name != PROJECT["name"]
]


def read_pins() -> dict[str, list[str]]:
    """Read constraints.txt: the versions of each package, of the older Python first."""
    pins: dict[str, list[str]] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if found := re.match(r"([\w.-]+)==([\w.]+)", line):
            pins.setdefault(found[1], []).append(found[2])
    return pins


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_the_pins_are_accepted(requirement):
    older, newer = (read_pins()[requirement.name] * 2)[:2]
    for python, version in (("3.11", older), ("3.12", newer)):
        if not requirement.marker or requirement.marker.evaluate({"python_version": python}):
            assert requirement.specifier.contains(version)


def test_the_tests_run_with_the_pins():
    column = 0 if sys.version_info < (3, 12) else -1
    pinned = {name: versions[column] for name, versions in read_pins().items()}
    installed = {
        each.name.lower().replace("_", "-"): each.version for each in metadata.distributions()
    }
    differing = {
        name: (installed[name].partition("+")[0], pinned[name])
        for name in installed.keys() & pinned.keys()
        if installed[name].partition("+")[0] != pinned[name]
    }
    assert not differing
