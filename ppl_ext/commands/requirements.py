"""The parts of this package and the versions of others that each is known to work with."""

import re
import sys
from dataclasses import dataclass

__all__ = ["PARTS", "Package", "Part"]


@dataclass(frozen=True)
class Package:
    """A package that a part of ``ppl_ext`` stands on.

    Args:
        name: Its name on the package index.
        oldest: Oldest version that the part accepts.
        tested: Versions that the tests ran with, on Python 3.11 and on later ones.
        below: First version that the part does not accept, empty if there is none.

    Example:
        >>> Package("numpyro", oldest="0.22", tested=("0.22.0",)).name
        'numpyro'
    """

    name: str
    oldest: str
    tested: tuple[str, ...]
    below: str = ""

    @property
    def tested_here(self) -> str:
        """The tested version that this Python can install."""
        return self.tested[0] if sys.version_info < (3, 12) else self.tested[-1]

    def accepts(self, version: str) -> bool:
        """Say whether a version lies in the accepted range."""
        found = _numbers(version)
        return _numbers(self.oldest) <= found and (not self.below or found < _numbers(self.below))


@dataclass(frozen=True)
class Part:
    """A part of ``ppl_ext`` that is installed or left out as a whole.

    Args:
        name: What a user calls it.
        extra: The extra that installs it, empty for what always comes along.
        module: The module that must import for the part to work.
        packages: What it stands on.
        is_host: True for the two hosts, of which one is enough.

    Example:
        >>> [part.extra for part in PARTS]
        ['', 'numpyro', 'pyro', 'plots', 'factorization']
    """

    name: str
    extra: str
    module: str
    packages: tuple[Package, ...]
    is_host: bool = False

    @property
    def install(self) -> str:
        """The command that installs the part."""
        return f'pip install "ppl-ext[{self.extra}]"' if self.extra else "pip install ppl-ext"


PARTS = (
    Part(
        "base",
        extra="",
        module="arviz_stats",
        packages=(
            Package("numpy", "1.26", ("2.4.6", "2.5.5")),
            Package("scipy", "1.11", ("1.17.1", "1.18.1")),
            Package("tqdm", "4.66", ("4.70.1",)),
            Package("safetensors", "0.4", ("0.8.0",)),
            Package("arviz-base", "0.8", ("0.8.2", "1.3.1"), below="2"),
            Package("arviz-stats", "0.8", ("0.8.0", "1.3.3"), below="2"),
        ),
    ),
    Part(
        "NumPyro",
        extra="numpyro",
        module="ppl_ext.numpyro",
        packages=(
            Package("numpyro", "0.22", ("0.22.0",)),
            Package("jax", "0.7", ("0.10.2", "0.12.0.1")),
            Package("optax", "0.2", ("0.2.8",)),
        ),
        is_host=True,
    ),
    Part(
        "Pyro",
        extra="pyro",
        module="ppl_ext.pyro",
        packages=(
            Package("pyro-ppl", "1.9.1", ("1.9.2",), below="2"),
            Package("torch", "2.4", ("2.13.0",)),
        ),
        is_host=True,
    ),
    Part(
        "plots",
        extra="plots",
        module="arviz_plots",
        packages=(
            Package("arviz-plots", "0.8", ("0.8.0", "1.3.2"), below="2"),
            Package("matplotlib", "3.6", ("3.10.9", "3.11.2")),
        ),
    ),
    Part(
        "factorization",
        extra="factorization",
        module="numba",
        packages=(Package("numba", "0.61", ("0.68.1",)),),
    ),
)


def _numbers(version: str) -> tuple[int, ...]:
    """Release numbers of a version: 2.13.0+cpu is (2, 13, 0)."""
    return tuple(int(number) for number in re.split(r"[^\d.]", version)[0].split(".") if number)
