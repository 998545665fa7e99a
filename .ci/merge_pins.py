"""Merge the ``pip freeze`` of both CI legs into the one constraints file.

    make constraints

resolves both legs afresh, the torch pin apart, and calls this script with the two listings.
"""

import sys
from pathlib import Path

HEADER = """\
# What the tests ran with: pip install -c constraints.txt -e ".[all]"
# Made by `make constraints` from fresh resolutions on Python 3.11 (both rooms, all tools) and on
# Python 3.12 (NumPyro room, no torch). The last ArviZ, JAX, NumPy and SciPy for Python 3.11 are
# older than those for 3.12; hence the markers.
# torch keeps its pin: unpinned, pip takes the newest CUDA build and gigabytes with it.
"""


def read_pins(listing: Path) -> dict[str, str]:
    """Read ``name==version`` lines; local versions such as ``+cpu`` belong to one machine."""
    pins = {}
    for line in listing.read_text(encoding="utf-8").splitlines():
        name, separator, version = line.partition("==")
        if separator:
            pins[name.lower().replace("_", "-")] = version.partition("+")[0]
    return pins


def merge_pins(older: dict[str, str], newer: dict[str, str]) -> list[str]:
    """Give one line to a package on which both agree and two lines with markers to the others."""
    lines = []
    for name in sorted(older.keys() | newer.keys()):
        versions = older.get(name), newer.get(name)
        if None in versions or versions[0] == versions[1]:
            lines.append(f"{name}=={versions[0] or versions[1]}")
        else:
            lines.append(f'{name}=={versions[0]}; python_version < "3.12"')
            lines.append(f'{name}=={versions[1]}; python_version >= "3.12"')
    return lines


if __name__ == "__main__":
    print(HEADER + "\n".join(merge_pins(*(read_pins(Path(name)) for name in sys.argv[1:3]))))
