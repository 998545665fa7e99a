"""Every tutorial runs from its first cell to its last; what it claims, it asserts."""

import ast
import runpy

import pytest

from tests.hosts import HOST_NAMES, MAKERS
from tests.repo.source import ROOT, parse

TUTORIALS = sorted((ROOT / "tutorials").glob("*.py"))


def hosts_of(path) -> set[str]:
    """List the hosts that a tutorial imports, or that a worked model imports for it."""
    imported = {name for name in MAKERS if path.stem.endswith(f"_{name}")}
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(str(node.module).partition(".")[0])
    return imported & set(MAKERS)


def test_there_are_tutorials_with_claims():
    assert TUTORIALS
    for path in TUTORIALS:
        assert any(isinstance(node, ast.Assert) for node in ast.walk(parse(path))), path.name


@pytest.mark.parametrize(
    "path",
    [path for path in TUTORIALS if hosts_of(path) <= set(HOST_NAMES)],
    ids=lambda path: path.stem,
)
def test_tutorial_runs(path, monkeypatch, tmp_path, no_network):
    monkeypatch.setenv("PPL_EXT_SMOKE", "1")
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")
