"""What an import brings along: each in a fresh process."""

import subprocess
import sys

import pytest

from tests.hosts import HOST_NAMES
from tests.repo.source import ROOT, dotted, hall_files, room_modules

HOSTS = {"torch", "pyro", "jax", "numpyro", "optax"}
HEAVY = {"arviz_base", "arviz_stats", "arviz_plots", "matplotlib", "xarray", "pandas"}
OTHER = {"pyro": {"jax", "numpyro", "optax"}, "numpyro": {"torch", "pyro"}}


def loaded_by(*modules: str) -> set[str]:
    """Import modules in a fresh process and list the top-level packages it then holds."""
    script = (
        f"import sys, {', '.join(modules)}\n"
        # A room imports its names when they are first used.
        f"for module in ({', '.join(modules)},):\n"
        "    for name in dir(module):\n"
        "        getattr(module, name)\n"
        "print(*{m.partition('.')[0] for m in sys.modules})"
    )
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return set(process.stdout.split())


def test_the_package_is_light():
    assert not loaded_by("ppl_ext") & (HOSTS | HEAVY | {"numpy", "scipy"})


def test_the_hall_imports_no_host():
    modules = [dotted(path) for path in hall_files() if path.name != "__main__.py"]
    assert not loaded_by(*modules) & (HOSTS | HEAVY)


@pytest.mark.parametrize("room", HOST_NAMES)
def test_a_room_imports_neither_the_other_nor_arviz(room):
    assert not loaded_by(*room_modules(room)) & (OTHER[room] | HEAVY)
