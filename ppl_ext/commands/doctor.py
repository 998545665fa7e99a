"""What is installed, whether it works, and what to do about it."""

import platform
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from importlib import metadata

import ppl_ext
from ppl_ext.commands.requirements import PARTS, Part

__all__ = ["Checkup", "Finding", "check_up"]


@dataclass(frozen=True)
class Finding:
    """What was found of one part.

    Args:
        part: The part.
        versions: Installed version of each of its packages, None where one is missing.
        failure: Last line of the error when the part's module was imported, empty if it imports
            or is not there.
        remarks: What to do, one sentence each.

    Example:
        >>> Finding(PARTS[3], {"arviz-plots": None, "matplotlib": None}).state
        'not installed'
    """

    part: Part
    versions: dict[str, str | None]
    failure: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """One of "ready", "not installed", "incomplete" and "broken"."""
        if all(version is None for version in self.versions.values()):
            return "not installed"
        if None in self.versions.values():
            return "incomplete"
        return "broken" if self.failure else "ready"


@dataclass(frozen=True)
class Checkup:
    """What is installed and what to do; ``print`` it.

    Args:
        system: Version of this package, of Python and of the operating system.
        findings: One for each of ``PARTS``; none where this package itself is not installed.

    Example:
        >>> nothing = {"arviz-plots": None, "matplotlib": None}
        >>> Checkup("ppl_ext", (Finding(PARTS[3], nothing),)).ok
        False
    """

    system: str
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """True where a host is ready and nothing that is installed is broken."""
        wrong = any(finding.state in ("broken", "incomplete") for finding in self.findings)
        return self._has_host and not wrong

    @property
    def _has_host(self) -> bool:
        return any(found.part.is_host and found.state == "ready" for found in self.findings)

    @property
    def advice(self) -> tuple[str, ...]:
        """What to do, one sentence each; empty where there is nothing to do."""
        if not self.findings:
            return (
                "ppl_ext runs from its folder and is not installed. In that folder: "
                'pip install -c constraints.txt -e ".[numpyro]", or ".[pyro]".',
            )
        remarks = [remark for finding in self.findings for remark in finding.remarks]
        if not self._has_host:
            remarks.insert(
                0,
                "No host is ready. Install the one that your models are written for: "
                'pip install "ppl-ext[numpyro]" or pip install "ppl-ext[pyro]".',
            )
        return tuple(remarks)

    def __str__(self) -> str:
        lines = [self.system, ""]
        for finding in self.findings:
            lines.append(f"{finding.part.name:<14}{finding.state}")
            accepted = finding.part.requirements
            for name, version in finding.versions.items():
                lines.append(f"  {name:<14}{version or '-':<14}accepted: {accepted[name]}")
        lines += ["", "What to do", *(f"  - {remark}" for remark in self.advice)]
        if not self.advice:
            lines.append("  Nothing: python -m ppl_ext demo shows it at work.")
        return "\n".join(lines)


def check_up() -> Checkup:
    """Look at what is installed and try whether it imports.

    Each part is imported in a process of its own, so that this one stays as it is. Not for use in
    a library: it takes some seconds.

    Returns:
        The findings, with advice.

    Example:
        >>> check_up().system.startswith("ppl_ext")
        True
    """
    system = (
        f"ppl_ext {ppl_ext.__version__} on Python {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}"
    )
    parts = () if _find_version("ppl-ext") is None else PARTS
    return Checkup(system, tuple(_examine(part) for part in parts))


def _examine(part: Part) -> Finding:
    accepted = part.requirements
    versions = {name: _find_version(name) for name in accepted}
    finding = Finding(part, versions)
    if finding.state == "not installed":
        optional = f"{part.name}: install it with {part.install}, or do without."
        return finding if part.is_host else replace(finding, remarks=(optional,))
    if finding.state == "incomplete":
        missing = ", ".join(name for name, version in versions.items() if version is None)
        remark = f"{part.name}: {missing} is missing; complete it with {part.install}."
        return replace(finding, remarks=(remark,))

    remarks = [
        f'{part.name}: {name} {version} is not supported; pip install "{name}{accepted[name]}".'
        for name, version in versions.items()
        if version and not accepted[name].contains(version, prereleases=True)
    ]
    failure = _try_import(part.module)
    if failure:
        remarks.append(
            f"{part.name}: `import {part.module}` fails ({failure}). {_mend(part, failure)}"
        )
    return replace(finding, failure=failure, remarks=tuple(remarks))


def _mend(part: Part, failure: str) -> str:
    """What to install where a part does not import: what is missing, else what was tested."""
    missing = re.fullmatch(r"ModuleNotFoundError: No module named '(\w+).*'", failure)
    if not missing:
        extra = f"[{part.extra}]" if part.extra else ""
        return (
            "Go back to the versions that were tested: in a clone of ppl_ext, "
            f'pip install -c constraints.txt ".{extra}".'
        )
    name = missing[1].replace("_", "-")
    bringing = next((each for each in PARTS if name in each.requirements), part)
    return f"{bringing.install} brings {missing[1]}."


def _find_version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _try_import(module: str) -> str:
    """Import in another process; return the last line of the error, empty if it works.

    With all its names: a package may load each when it is first used.
    """
    attempt = subprocess.run(
        [sys.executable, "-c", f"from {module} import *"],
        capture_output=True,
        text=True,
        check=False,
    )
    if attempt.returncode == 0:
        return ""
    return (attempt.stderr.strip().splitlines() or [f"exit status {attempt.returncode}"])[-1]
