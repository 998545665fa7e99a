"""Importing is light: it needs no compiler, and none of what single functions use."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "numba":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Block())
import ppl_ext.factorization, ppl_ext.cavi
from ppl_ext.factorization import read_ratings
assert len(read_ratings((["ann"], ["film"], [4.0]))) == 1
found = {"numba", "pandas", "scipy.stats", "scipy.cluster", "matplotlib"} & set(sys.modules)
assert not found, found
"""


def run(program):
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_hall_is_imported_without_the_compiler_and_lightly():
    run(PROGRAM)


@pytest.mark.parametrize("room", ["numpyro", "pyro"])
def test_rooms_are_imported_without_the_compiler(room):
    run(
        PROGRAM.replace(
            "import ppl_ext.factorization, ppl_ext.cavi", f"import ppl_ext.{room}"
        ).replace('{"numba", "pandas", "scipy.stats", "scipy.cluster", "matplotlib"}', '{"numba"}')
    )
