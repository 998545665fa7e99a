"""A trained network as one file of arrays and plain words, the same for both hosts."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ppl_ext.npe.features import Features, ObservedSite, Scaling
from ppl_ext.npe.frame import Frame
from ppl_ext.npe.learning import LearningLog
from ppl_ext.npe.noise import Noise
from ppl_ext.npe.soft_clip import SoftClip
from ppl_ext.storage import read_arrays, write_arrays

__all__ = ["SavedNPE"]

_LOG_WORDS = ("reason", "converged", "seconds", "num_pairs", "num_held_out", "notes")
_LOG_ARRAYS = ("losses", "held_out", "best")


@dataclass(frozen=True, eq=False)
class SavedNPE:
    """What of a trained network is kept.

    Args:
        latent: Unconstrained shapes of the sites of interest, in order.
        network: Class names of estimator and embedding.
        weights: Arrays of the network, by the path to them.
        features: How observations are read.
        frame: Where the network starts.
        log: How the training went.
        simulated: Data of some simulations, ``[simulation, width]``.
        marks: Values of the sites at coordinates that are always the same, by which supports are
            known again; empty in earlier files.

    Example:
        >>> import pathlib, tempfile
        >>> site, x = ObservedSite("x", (1,)), np.random.default_rng(0).normal(size=(200, 1))
        >>> features = Features.read([site], {"x": x})
        >>> frame = Frame.read(x, features.apply({"x": x}), features.layout)
        >>> log = LearningLog(np.zeros((1, 1)), np.ones((1, 1)), np.ones(1), "", True, 1.0, 90, 10)
        >>> weights = {"w": np.ones(2)}
        >>> saved = SavedNPE({"mu": ()}, ["Flow", "MLP"], weights, features, frame, log, x)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "npe.safetensors")
        ...     saved.write(path, host="pyro", host_version="1.9.1")
        ...     SavedNPE.read(path, host="pyro").features.sites[0].name
        'x'
    """

    latent: Mapping[str, tuple[int, ...]]
    network: Sequence[str]
    weights: Mapping[str, np.ndarray]
    features: Features
    frame: Frame
    log: LearningLog
    simulated: np.ndarray
    marks: Mapping[str, np.ndarray] = field(default_factory=dict)

    def write(self, path: str | os.PathLike[str], *, host: str, host_version: str) -> None:
        """Write the file.

        Args:
            path: Where to; customarily ``*.safetensors``.
            host: Name of the host's module.
            host_version: Its version.
        """
        arrays = {f"weights/{name}": np.asarray(array) for name, array in self.weights.items()}
        for name, scaling in self.features.scalings.items():
            arrays |= {f"scaling/{part}/{name}": array for part, array in asdict(scaling).items()}
        for part in ("weights", "bias", "scale_tril"):
            arrays[f"frame/{part}"] = getattr(self.frame, part)
        arrays["frame/softness"] = self.frame.clip.softness
        arrays |= {f"log/{name}": getattr(self.log, name) for name in _LOG_ARRAYS}
        arrays["simulated"] = self.simulated
        arrays |= {f"marks/{name}": np.asarray(array) for name, array in self.marks.items()}
        header: dict[str, Any] = {
            "kind": "npe",
            "host": host,
            "host_version": host_version,
            "latent": {name: list(shape) for name, shape in self.latent.items()},
            "network": list(self.network),
            "observed": [
                {"name": site.name, "shape": list(site.shape), "set_axis": site.set_axis}
                for site in self.features.sites
            ],
            "missing": self.features.missing,
            "squares": self.frame.squares,
            "log": {name: getattr(self.log, name) for name in _LOG_WORDS},
            "noise": self.log.noise and asdict(self.log.noise),
        }
        write_arrays(path, arrays, header)

    @classmethod
    def read(cls, path: str | os.PathLike[str], *, host: str) -> SavedNPE:
        """Read the file.

        Args:
            path: The file.
            host: Name of the host's module that is to read it.

        Raises:
            ValueError: The file is damaged, holds something else, or is of the other host.
            FileNotFoundError: There is no such file.
        """
        arrays, header = read_arrays(path, kind="npe", called="NPE.load")
        if header.get("host") != host:
            raise ValueError(
                f"NPE.load: '{os.fspath(path)}' is a network of {header.get('host')}; expected "
                f"{host}. Load it with ppl_ext.{header.get('host')}.NPE(model, ...).load(path)."
            )
        sites = tuple(
            ObservedSite(site["name"], tuple(site["shape"]), site["set_axis"])
            for site in header["observed"]
        )
        scalings = {
            site.name: Scaling(
                *(arrays[f"scaling/{part}/{site.name}"] for part in Scaling.__dataclass_fields__)
            )
            for site in sites
        }
        words: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in header["log"].items()
        }
        return cls(
            latent={name: tuple(shape) for name, shape in header["latent"].items()},
            network=header["network"],
            weights=_take_group("weights", arrays),
            features=Features(sites, scalings, header["missing"]),
            frame=Frame(
                arrays["frame/weights"],
                arrays["frame/bias"],
                arrays["frame/scale_tril"],
                header["squares"],
                # Earlier files have none: they know logits alone.
                SoftClip(arrays.get("frame/softness", np.full(len(arrays["frame/bias"]), np.inf))),
            ),
            log=LearningLog(
                arrays["log/losses"],
                arrays["log/held_out"],
                arrays["log/best"],
                noise=Noise(**header["noise"]) if header.get("noise") else None,
                **words,
            ),
            simulated=arrays["simulated"],
            marks=_take_group("marks", arrays),
        )

    def check(
        self,
        path: str | os.PathLike[str],
        latent: Mapping[str, tuple[int, ...]],
        sites: Sequence[ObservedSite],
        network: Sequence[str],
        weights: Mapping[str, tuple[int, ...]],
    ) -> None:
        """Refuse a model or a network other than those of the file.

        Args:
            path: The file.
            latent: Unconstrained shapes of the sites of interest.
            sites: The observed sites.
            network: Class names of estimator and embedding.
            weights: Shapes of the arrays of the network.

        Raises:
            ValueError: They differ.
        """
        for what, found, expected in (
            ("the sites of interest", dict(latent), dict(self.latent)),
            ("the observed sites", tuple(sites), self.features.sites),
            ("the estimator and the embedding", list(network), list(self.network)),
            ("the arrays", dict(weights), {name: w.shape for name, w in self.weights.items()}),
        ):
            if found != expected:
                raise ValueError(
                    f"NPE.load: '{os.fspath(path)}' has {what} {expected}, this object "
                    f"{found}; expected the same. Make it as the one that was saved: "
                    "NPE(model, *args, ...).load(path)."
                )

    def check_model(
        self, path: str | os.PathLike[str], marks: Mapping[str, np.ndarray], missing: bool
    ) -> None:
        """Refuse a model with other supports, or other words on what its data may lack.

        Args:
            path: The file.
            marks: Values of the sites of interest, as above.
            missing: Whether observations may lack values.

        Raises:
            ValueError: They differ.
        """
        moved = [n for n, x in self.marks.items() if not np.allclose(x, marks[n], 1e-3, 1e-4)]
        if moved:
            raise ValueError(
                f"NPE.load: '{os.fspath(path)}' was learned where site '{moved[0]}' had another "
                "support than it has in this model; expected the same. Make it as the one that "
                "was saved: NPE(model, *args, ...).load(path)."
            )
        if missing != self.features.missing:
            raise ValueError(
                f"NPE.load: '{os.fspath(path)}' was learned with missing={self.features.missing}, "
                f"this object has missing={missing}; expected the same. Write NPE(model, *args, "
                f"missing={self.features.missing}).load(path)."
            )


def _take_group(group: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    start = f"{group}/"
    return {n.removeprefix(start): x for n, x in arrays.items() if n.startswith(start)}
