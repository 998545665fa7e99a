"""The commands of ``python -m ppl_ext``."""

import argparse
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from ppl_ext import __version__
from ppl_ext.demo.run import run_demo
from ppl_ext.doctor import check_up
from ppl_ext.parts import PARTS

__all__ = ["main"]

# By the module to import; where both hosts are there, the demonstration takes the first.
_HOSTS = {part.extra: part for part in PARTS if part.is_host}
_PLOTS = next(part for part in PARTS if part.extra == "plots")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: The words after the program's name; those of the command line if None.

    Returns:
        The exit status: 0 if all is well, 1 if the command could not do its work.

    Example:
        >>> main(["demo", "--host", "stan"])
        Traceback (most recent call last):
        SystemExit: 2
    """
    parser = argparse.ArgumentParser(
        prog="python -m ppl_ext",
        description="Variational inference for Pyro and NumPyro that says whether to trust it.",
    )
    parser.add_argument("--version", action="version", version=f"ppl_ext {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="command")

    demo = commands.add_parser(
        "demo",
        help="fit two posteriors that are known, compare with NUTS, draw pictures",
        description="Fit eight schools and a regression on real data with a mean-field and a "
        "full-rank Gaussian, and set the answers beside NUTS and the published posterior.",
    )
    demo.add_argument(
        "--host", choices=_HOSTS, help="the host to use; without it, one that is installed"
    )
    demo.add_argument(
        "--out", type=Path, default=Path("demo"), metavar="DIR", help="folder of the pictures"
    )
    demo.set_defaults(run=_demo)

    doctor = commands.add_parser(
        "doctor", help="say what is installed, what was tested, and what to do"
    )
    doctor.set_defaults(run=_doctor)

    options = parser.parse_args(argv)
    return int(options.run(options))


def _demo(options: argparse.Namespace) -> int:
    host = options.host or next(filter(find_spec, _HOSTS), None)
    if host is None or find_spec(host) is None:
        wanted = [_HOSTS[host]] if host else _HOSTS.values()
        ways = " or ".join(f"`{part.install}`" for part in wanted)
        print(f"demo: {_HOSTS[host].name if host else 'no host'} is not installed; {ways}.")
        return 1
    folder: Path | None = options.out
    if find_spec("matplotlib") is None:
        print(f"demo: matplotlib is not installed, so no pictures; `{_PLOTS.install}`.")
        folder = None
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            print(f"demo: no pictures can be written to {folder}: {error}. Choose another --out.")
            return 1

    print(f"{_HOSTS[host].name}: fitting, then sampling with NUTS, about a minute in all.")
    written = run_demo(import_module(f"ppl_ext.{host}.demo").METHODS, folder)
    if folder is not None:
        print(f"\n{len(written)} pictures are in {folder.resolve()}:")
        print("\n".join(f"  {picture.name}" for picture in written))
    return 0


def _doctor(options: argparse.Namespace) -> int:
    checkup = check_up()
    print(checkup)
    return 0 if checkup.ok else 1
