"""Every worked model runs in every room, without a network, and prints one line."""

import re
from importlib import import_module

import pytest

from tests.hosts import HOST_NAMES, MAKERS
from tests.repo.source import ROOT

FOLDERS = sorted(path.parent for path in (ROOT / "models").glob("*/data.py"))


def test_every_model_stands_in_both_rooms():
    assert FOLDERS
    for folder in FOLDERS:
        for host in MAKERS:
            assert (folder / f"on_{host}.py").exists(), folder.name
        # What it is stands on the first line; what more a reader has to know, below a blank one.
        first, *rest = (folder / "README.md").read_text(encoding="utf-8").splitlines()
        assert first.endswith("."), folder.name
        assert not rest or not rest[0], folder.name


@pytest.mark.parametrize("name", [folder.name for folder in FOLDERS])
@pytest.mark.parametrize("host", HOST_NAMES)
def test_smoke(name, host, capsys, no_network):
    program = import_module(f"models.{name}.on_{host}")
    program.main(["--smoke"])
    lines = capsys.readouterr().out.strip().splitlines()
    assert len(lines) == 1, lines
    assert re.search(r"\d", lines[0]), lines
