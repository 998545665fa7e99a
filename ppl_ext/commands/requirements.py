"""The parts of this package and what each asks for, as the installed package says it."""

from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

__all__ = ["PARTS", "Part"]


@dataclass(frozen=True)
class Part:
    """A part of ``ppl_ext`` that is installed or left out as a whole.

    Args:
        name: What a user calls it.
        extra: The extra that installs it, empty for what always comes along.
        module: The module that must import for the part to work.
        is_host: True for the two hosts, of which one is enough.

    Example:
        >>> [part.extra for part in PARTS]
        ['', 'numpyro', 'pyro', 'plots', 'factorization', 'enumeration', 'parallel', 'calibration',
         'cytometry']
    """

    name: str
    extra: str
    module: str
    is_host: bool = False

    @property
    def install(self) -> str:
        """The command that installs the part."""
        return f'pip install "ppl-ext[{self.extra}]"' if self.extra else "pip install ppl-ext"

    @property
    def requirements(self) -> dict[str, SpecifierSet]:
        """Packages that the part asks for on this Python, each with the versions it accepts."""
        accepted: dict[str, SpecifierSet] = {}
        for line in metadata.requires("ppl-ext") or ():
            wanted = Requirement(line)
            always = wanted.marker is None or wanted.marker.evaluate({"extra": ""})
            here = wanted.marker is None or wanted.marker.evaluate({"extra": self.extra})
            if here and always == (not self.extra):
                accepted[wanted.name] = (
                    accepted.get(wanted.name, SpecifierSet()) & wanted.specifier
                )
        return accepted


PARTS = (
    Part("base", extra="", module="arviz_stats"),
    Part("NumPyro", extra="numpyro", module="ppl_ext.numpyro", is_host=True),
    Part("Pyro", extra="pyro", module="ppl_ext.pyro", is_host=True),
    Part("plots", extra="plots", module="arviz_plots"),
    Part("factorization", extra="factorization", module="numba"),
    # funsor 0.4.8 exports a name that it does not have: its top level does not star-import.
    Part("enumeration", extra="enumeration", module="funsor.terms"),
    Part("parallel", extra="parallel", module="joblib"),
    Part("calibration", extra="calibration", module="sklearn"),
    Part("cytometry", extra="cytometry", module="flowio"),
)
