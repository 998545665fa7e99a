"""Versions are written down in three places; they agree."""

import re
import sys
import tomllib
from importlib import metadata

import pytest

from ppl_ext.commands.requirements import PARTS
from tests.repo.source import ROOT

PACKAGES = [(part, package) for part in PARTS for package in part.packages]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read_pins() -> dict[str, list[str]]:
    """Read constraints.txt: the versions of each package, of the older Python first."""
    pins: dict[str, list[str]] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if found := re.match(r"([\w.-]+)==([\w.]+)", line):
            pins.setdefault(found[1], []).append(found[2])
    return pins


def requirements(extra: str) -> dict[str, str]:
    """Read what an extra, or the base, asks for: {package: range}."""
    listed = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    plain = (entry.partition(";")[0].strip() for entry in listed)
    split = (re.match(r"([\w-]+)(?:\[.*\])?(.*)", entry) for entry in plain)
    return {found[1]: found[2] for found in split if found}


@pytest.mark.parametrize(("part", "package"), PACKAGES, ids=lambda each: each.name)
def test_doctor_knows_the_pins(part, package):
    assert list(package.tested) == read_pins()[package.name]


@pytest.mark.parametrize(("part", "package"), PACKAGES, ids=lambda each: each.name)
def test_doctor_knows_the_ranges(part, package):
    written = requirements(part.extra)[package.name]
    assert f">={package.oldest}" in written or written.startswith("<")
    if package.below:
        assert written.endswith(f"<{package.below}")


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
