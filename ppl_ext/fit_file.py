"""A fit as one file of arrays and plain words, the same for both hosts."""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ppl_ext.fitting.fit_log import FitLog
from ppl_ext.gaussian_vi import GaussianSolution
from ppl_ext.gaussian_vi.location_scale import PartialCentering
from ppl_ext.storage import read_arrays, write_arrays

__all__ = ["SavedFit", "check_guide_kind", "read_fit"]

_LOG = (
    "reason",
    "converged",
    "seconds",
    "compile_seconds",
    "gradients",
    "start_losses",
    "notes",
    "plateaus",
    "dropped_starts",
)
_SOLUTION = ("elbo", "predicted_kl", "mean_error", "num_draws", "converged")


@dataclass(frozen=True, eq=False)
class SavedFit:
    """What of a fit is kept: numbers, and the sites that they belong to.

    Args:
        guide: Class name of the guide; a file names it by a word and never by an import path.
        sites: Unconstrained shapes of the latent sites.
        params: Parameters of the guide.
        log: The log of the run.
        solution: The solver's Gaussian, None after stochastic gradients.
        settings: What a room needs besides: numbers, words and flags.
        climb: Arrays and words of the climb beyond the guide, None where there was none.
        centering: Coordinates of the sites that are not in those of the model.
        theta: The parameters of the model in a row, on unconstrained space; None if it has none.

    Example:
        >>> import pathlib, tempfile
        >>> log = FitLog(np.array([2.0, 1.0]), "converged", True, seconds=0.1)
        >>> saved = SavedFit("AutoMeanField", {"mu": (2,)}, {"loc": np.zeros(2)}, log, None)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "fit.safetensors")
        ...     saved.write(path, host="pyro", host_version="1.9.1")
        ...     read_fit(path, host="pyro", guides={"AutoMeanField"}).log.reason
        'converged'
    """

    guide: str
    sites: Mapping[str, tuple[int, ...]]
    params: Mapping[str, np.ndarray]
    log: FitLog
    solution: GaussianSolution | None
    settings: Mapping[str, Any] = field(default_factory=dict)
    climb: tuple[Mapping[str, np.ndarray], Mapping[str, Any]] | None = None
    centering: Mapping[str, PartialCentering] = field(default_factory=dict)
    theta: np.ndarray | None = None

    def write(self, path: str | os.PathLike[str], *, host: str, host_version: str) -> None:
        """Write the file.

        Args:
            path: Where to; customarily ``*.safetensors``.
            host: Name of the host's module.
            host_version: Its version.
        """
        arrays = {f"params/{name}": np.asarray(value) for name, value in self.params.items()}
        arrays["losses"] = self.log.losses
        for name, coordinates in self.centering.items():
            arrays |= {
                f"{part}/{name}": np.asarray(v) for part, v in coordinates._asdict().items()
            }
        if self.theta is not None:
            arrays["theta"] = self.theta
        header: dict[str, Any] = {
            "kind": "fit",
            "host": host,
            "host_version": host_version,
            "guide": self.guide,
            "sites": {name: list(shape) for name, shape in self.sites.items()},
            "settings": dict(self.settings),
            "log": {key: getattr(self.log, key) for key in _LOG},
            "solution": None,
            "climb": None,
        }
        if self.solution is not None:
            arrays |= {"solution/loc": self.solution.loc, "solution/scale": self.solution.scale}
            header["solution"] = {key: getattr(self.solution, key) for key in _SOLUTION}
        if self.climb is not None:
            arrays |= {f"climb/{name}": array for name, array in self.climb[0].items()}
            header["climb"] = dict(self.climb[1])
        write_arrays(path, arrays, header)

    def check_sites(
        self, path: str | os.PathLike[str], found: Mapping[str, tuple[int, ...]]
    ) -> None:
        """Refuse a model of other sites.

        Args:
            path: The file.
            found: Unconstrained shapes of the model's latent sites.

        Raises:
            ValueError: The sites differ.
        """
        if {name: tuple(shape) for name, shape in found.items()} != self.sites:
            raise ValueError(
                f"load: '{os.fspath(path)}' was fitted to the sites {dict(self.sites)} "
                f"(unconstrained shapes), the model has {dict(found)}; expected the same. Give "
                "the model and the shapes of data that were fitted."
            )

    def check_parameters(self, path: str | os.PathLike[str], found: int) -> None:
        """Refuse a model with other parameters.

        Args:
            path: The file.
            found: How many numbers the parameters of the model are.

        Raises:
            ValueError: The fit has another number of them.
        """
        expected = 0 if self.theta is None else len(self.theta)
        if found != expected:
            raise ValueError(
                f"load: '{os.fspath(path)}' holds {expected:,} parameters of its model, the model "
                f"has {found:,}; expected the same. Give the model that was fitted."
            )


def check_guide_kind(guide: object, guides: Mapping[str, type], line: str) -> str:
    """The word for a guide in a file.

    Args:
        guide: The guide.
        guides: The classes that can be saved, by name.
        line: How the parameters of other guides are kept.

    Returns:
        Its class name.

    Raises:
        ValueError: It is none of these classes.

    Example:
        >>> check_guide_kind(3, {"int": int}, "json.dump(guide)")
        'int'
    """
    name = type(guide).__name__
    if guides.get(name) is not type(guide):
        raise ValueError(
            f"Fit.save: the guide is a {name}; expected one of {', '.join(guides)}. Keep the "
            f"parameters of other guides yourself: {line}."
        )
    return name


def read_fit(path: str | os.PathLike[str], *, host: str, guides: Collection[str]) -> SavedFit:
    """Read the file of a fit.

    Args:
        path: The file.
        host: Name of the host's module that is to read it.
        guides: Names of the guides that it knows.

    Returns:
        What was saved.

    Raises:
        ValueError: The file is damaged, holds something else, or is a fit of the other host.
        FileNotFoundError: There is no such file.

    Example:
        >>> import pathlib, tempfile
        >>> log = FitLog(np.array([1.0]), "converged", True, seconds=0.1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "fit.safetensors")
        ...     saved = SavedFit("AutoFullRank", {"mu": ()}, {}, log, None)
        ...     saved.write(path, host="numpyro", host_version="0.22.0")
        ...     read_fit(path, host="numpyro", guides=["AutoFullRank"]).sites
        {'mu': ()}
    """
    arrays, header = read_arrays(path, kind="fit", called="load")
    if header.get("host") != host or header.get("guide") not in guides:
        raise ValueError(
            f"load: '{os.fspath(path)}' is a fit of {header.get('host')} with the guide "
            f"{header.get('guide')}; expected {host} and one of {', '.join(guides)}. Load it "
            f"with ppl_ext.{header.get('host')}.load, or with a newer ppl_ext."
        )
    # JSON knows lists, a log has tuples.
    words: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in header["log"].items()
    }
    log, solution = FitLog(losses=arrays["losses"], **words), None
    if header["solution"] is not None:
        loc, scale = arrays["solution/loc"], arrays["solution/scale"]
        solution = GaussianSolution(loc=loc, scale=scale, **header["solution"], log=log)

    def group(prefix: str) -> dict[str, np.ndarray]:
        return {
            name.removeprefix(prefix): array
            for name, array in arrays.items()
            if name.startswith(prefix)
        }

    # Files written before there was a climb do not speak of one.
    climbed = header.get("climb")
    return SavedFit(
        guide=header["guide"],
        sites={name: tuple(shape) for name, shape in header["sites"].items()},
        params=group("params/"),
        log=log,
        solution=solution,
        settings=header["settings"],
        climb=None if climbed is None else (group("climb/"), climbed),
        centering={
            name.removeprefix("degree/"): PartialCentering(
                array, arrays[f"unit/{name.removeprefix('degree/')}"]
            )
            for name, array in arrays.items()
            if name.startswith("degree/")
        },
        theta=arrays.get("theta"),
    )
