"""The commands of ``python -m ppl_ext``."""

import argparse
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ppl_ext import __version__
from ppl_ext.commands.demo.run import run_demo
from ppl_ext.commands.doctor import check_up
from ppl_ext.commands.requirements import PARTS

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
        help="fit three posteriors that are known, compare with NUTS, draw pictures",
        description="Fit a regression on real data, eight schools and a pitcher's throw: with "
        "`fit`, and with a mean-field and a full-rank Gaussian. The answers are set beside NUTS "
        "and the known posterior.",
    )
    demo.add_argument(
        "--host", choices=_HOSTS, help="the host to use; without it, one that is installed"
    )
    demo.add_argument(
        "--out", type=Path, default=Path("demo"), metavar="DIR", help="folder of the pictures"
    )
    demo.set_defaults(run=_demo)

    _add_factorize(commands)

    doctor = commands.add_parser(
        "doctor", help="say what is installed, what was tested, and what to do"
    )
    doctor.set_defaults(run=_doctor)

    options = parser.parse_args(argv)
    return int(options.run(options))


def _add_factorize(commands: Any) -> None:
    parser = commands.add_parser(
        "factorize",
        help="fit a table of ratings; write factors, predictions, a report and pictures",
        description="Fit a table of ratings by Bayesian matrix factorization, test the intervals "
        "of its predictions on ratings set aside, and write factors, predictions, a report and "
        "pictures. Without a table, ratings are simulated and compared with their truth.",
    )
    add = parser.add_argument
    add(
        "ratings",
        nargs="?",
        type=Path,
        metavar="RATINGS",
        help="*.csv or *.tsv with a header, *.parquet, JSON lines, or user, item, rating and "
        "perhaps a time in each line, as MovieLens has them (u.data, ratings.dat)",
    )
    add(
        "--out",
        type=Path,
        default=Path("factors"),
        metavar="DIR",
        help="folder of the results (default factors)",
    )
    add("--factors", type=int, default=16, help="number of factors (default 16)")
    add(
        "--test-fraction",
        type=float,
        default=0.1,
        help="fraction of the ratings set aside to test the predictions; 0 for none (default 0.1)",
    )
    add(
        "--test",
        type=Path,
        metavar="FILE",
        help="ratings to test the predictions with, instead of a fraction; users and items that "
        "are new there are predicted by the prior, and judged apart",
    )
    add("--latest", action="store_true", help="set the latest ratings aside, not random ones")
    add(
        "--hold-out",
        type=float,
        default=0.0,
        metavar="FRACTION",
        help="fraction of the ratings to fit that decide when it ends; without it, the ELBO does",
    )
    add("--level", type=float, default=0.9, help="level of the written intervals (default 0.9)")
    add(
        "--top-n",
        type=int,
        help="items to recommend to every user; 0 for none (default 10, or all of fewer)",
    )
    add(
        "--user-features",
        type=Path,
        metavar="FILE",
        help="table of features, labels of users first; those without ratings are ranked too",
    )
    add("--item-features", type=Path, metavar="FILE", help="the same for items")
    for role in ("user", "item", "rating", "time"):
        usual = f"column of {role}s; a usual name without it"
        add(f"--{role}", metavar="NAME", default="", help=usual)
    add("--no-time", dest="time", action="store_const", const=None, help="read no times")
    add(
        "--scale",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="lowest and highest rating that is allowed",
    )
    add(
        "--keep-last",
        action="store_true",
        help="where a user rated an item twice, keep the last in time, or in the file, instead of "
        "refusing",
    )
    add(
        "--prior",
        choices=("full", "ard", "isotropic"),
        default="full",
        help="what the priors learn: mean and full covariance, a variance for each factor, or one",
    )
    add(
        "--equal-noise",
        action="store_true",
        help="the same noise for all users and items, instead of learning who is careful",
    )
    add("--diagonal", action="store_true", help="neglect covariances: faster, less accurate")
    add("--num-starts", type=int, default=1, help="starts of which the best is kept (default 1)")
    add("--max-sweeps", type=int, default=200, help="limit of the fit (default 200)")
    add(
        "--start",
        type=Path,
        metavar="FILE",
        help="factors.safetensors of an earlier fit, or checkpoint.safetensors of an "
        "interrupted one, to go on from",
    )
    add("--seed", type=int, default=0, help="seed of split and starts (default 0)")
    add("--threads", type=int, help="number of threads; one for each processor without it")
    parser.set_defaults(run=_factorize)


def _factorize(options: argparse.Namespace) -> int:
    from ppl_ext.commands.factorize import run_factorize

    return run_factorize(options)


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

    print(f"{_HOSTS[host].name}: fitting, then sampling with NUTS, a minute or two in all.")
    written = run_demo(import_module(f"ppl_ext.{host}.demo").METHODS, folder)
    if folder is not None:
        print(f"\n{len(written)} pictures are in {folder.resolve()}:")
        print("\n".join(f"  {picture.name}" for picture in written))
    return 0


def _doctor(options: argparse.Namespace) -> int:
    checkup = check_up()
    print(checkup)
    return 0 if checkup.ok else 1
