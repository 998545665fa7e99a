"""Environments that hold some extras and nothing else, made of what is installed here.

Links take the place of an installation: what an extra does not bring is then absent for imports,
for `find_spec`, for the metadata and for every process that is started, and nothing is patched.
"""

import re
import sysconfig
import venv
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from tests.repo.source import ROOT


def close_requirements(*extras: str) -> set[str]:
    """Names of the distributions that extras of ppl-ext bring, itself and the base among them."""
    found: set[tuple[str, str]] = set()
    new = {("ppl-ext", extra) for extra in ("", *extras)}
    while new:
        found |= new
        new = {each for name, extra in new for each in list_requirements(name, extra)} - found
    return {name for name, _ in found}


def list_requirements(name: str, extra: str) -> set[tuple[str, str]]:
    """What a distribution itself asks for: names, each with "" and with its extras."""
    wanted = (Requirement(line) for line in metadata.requires(name) or ())
    applying = [
        each for each in wanted if each.marker is None or each.marker.evaluate({"extra": extra})
    ]
    return {
        (re.sub(r"[-_.]+", "-", each.name).lower(), extra)
        for each in applying
        for extra in ("", *each.extras)
    }


def make_environment(folder: Path, *extras: str, without: tuple[str, ...] = ()) -> Path:
    """Make an environment of extras; return its Python.

    Args:
        folder: Where it is to be.
        *extras: Extras of ppl-ext; none for the hall alone.
        without: Distributions that are left out all the same.
    """
    venv.create(folder, symlinks=True)
    paths = {"base": str(folder), "platbase": str(folder)}
    site = Path(sysconfig.get_path("purelib", scheme="venv", vars=paths))
    (site / "ppl_ext").symlink_to(ROOT / "ppl_ext")
    for name in close_requirements(*extras).difference(without):
        distribution = metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            there = Path(str(distribution.locate_file(top)))
            # An editable installation of ppl-ext leads to whatever clone it was made in.
            if there.suffix != ".pth" and not (site / top).exists():
                (site / top).symlink_to(there)
    return folder / "bin" / "python"
