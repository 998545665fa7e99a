"""What a room offers, and that nothing of it is loaded before it is used."""

import subprocess
import sys
from importlib import import_module

import pytest

from tests.hosts import HOST_NAMES
from tests.repo.source import PACKAGE, ROOT, exported

PARTS = {"distributions", "estimators", "factorization", "flows", "npe"}


@pytest.mark.parametrize("room", HOST_NAMES)
def test_a_room_lists_what_a_user_may_call(room):
    module = import_module(f"ppl_ext.{room}")
    names = exported(PACKAGE / room / "__init__.py")
    assert set(dir(module)) == {*names, *PARTS}
    assert all(getattr(module, name) is not None for name in dir(module))
    for part in PARTS:
        names = exported(PACKAGE / room / part / "__init__.py")
        assert dir(getattr(module, part)) == sorted(names)


@pytest.mark.parametrize("room", HOST_NAMES)
def test_an_unknown_name_is_refused_as_python_does(room):
    module = import_module(f"ppl_ext.{room}")
    with pytest.raises(AttributeError, match=f"module 'ppl_ext.{room}' has no attribute 'fitt'"):
        module.fitt  # noqa: B018


@pytest.mark.parametrize("room", HOST_NAMES)
def test_a_room_is_imported_without_its_parts(room):
    script = f"""
import {room}, sys
before = set(sys.modules)
import ppl_ext.{room} as px
new = set(sys.modules) - before
assert not any(name.startswith(("scipy", "numba", "ppl_ext.{room}.")) for name in new), new
from ppl_ext.{room} import distributions
assert px.distributions is distributions is sys.modules["ppl_ext.{room}.distributions"]
assert "numba" not in sys.modules
px.fit, px.Fit, px.load
heavy = {{"numba", "scipy.stats", "scipy.optimize", "safetensors", "pandas", "xarray"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    process = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
