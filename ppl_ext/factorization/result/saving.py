"""A posterior in a file, and back."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from ppl_ext.factorization.model.gaussian_prior import GaussianPrior
from ppl_ext.factorization.model.posterior import Posterior
from ppl_ext.factorization.model.regression import Regression
from ppl_ext.factorization.model.side_posterior import TILE, Side, cut_tiles
from ppl_ext.fitting.fit_log import FitLog
from ppl_ext.storage import read_arrays, write_arrays

__all__ = ["read_posterior", "save_posterior"]

_KIND = "factors"
_REGRESSION = ("center", "scale", "coefficients", "relevance", "covariance")
_NUMBERS = ("biases", "diagonal", "center", "noise_precision", "sweeps")


def save_posterior(
    path: str | os.PathLike[str], posterior: Posterior, elbo: np.ndarray, log: FitLog
) -> None:
    """Write a posterior and its fit to one safetensors file, whole or not at all.

    Args:
        path: Where to.
        posterior: The posterior.
        elbo: ``[sweep]``.
        log: How the fit went.
    """
    arrays: dict[str, np.ndarray] = {"elbo": elbo}
    header: dict[str, Any] = {
        "kind": _KIND,
        "log": {"reason": log.reason, "converged": log.converged, "seconds": log.seconds},
        **{name: getattr(posterior, name) for name in _NUMBERS},
    }
    for name, side in (("users", posterior.users), ("items", posterior.items)):
        arrays |= {
            f"{name}.table": side.table,
            f"{name}.summary": side.summary,
            f"{name}.shape": side.shape,
            f"{name}.rate": side.rate,
            f"{name}.prior.mean": side.prior.mean,
            f"{name}.prior.precision": side.prior.precision,
        }
        header[name] = {"concentration": side.concentration}
        if side.regression is not None and side.offsets is not None:
            header[name]["features"] = list(side.regression.names)
            arrays[f"{name}.offsets"] = side.offsets
            for part in _REGRESSION:
                arrays[f"{name}.regression.{part}"] = getattr(side.regression, part)
        arrays |= _pack_labels(name, side.ids)
    write_arrays(path, arrays, header)


def read_posterior(path: str | os.PathLike[str]) -> tuple[Posterior, np.ndarray, FitLog]:
    """Read what `save_posterior` wrote.

    Args:
        path: The file.

    Returns:
        The posterior, the ELBO and the log.

    Raises:
        ValueError: The file is cut off, damaged, or of another kind.
        FileNotFoundError: There is no such file.
    """
    arrays, header = read_arrays(path, kind=_KIND, called="load_factors")
    posterior = Posterior(
        users=_read_side("users", arrays, header["users"]),
        items=_read_side("items", arrays, header["items"]),
        **{name: header[name] for name in _NUMBERS},
    )
    return posterior, arrays["elbo"], FitLog(-arrays["elbo"], **header["log"])


def _read_side(name: str, arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]) -> Side:
    regression = None
    if "features" in header:
        parts = {part: arrays[f"{name}.regression.{part}"] for part in _REGRESSION}
        regression = Regression(tuple(header["features"]), **parts)
    return Side(
        ids=_unpack_labels(name, arrays, header),
        table=_read_table(arrays[f"{name}.table"], arrays[f"{name}.summary"].shape[1] - 1),
        summary=arrays[f"{name}.summary"],
        prior=GaussianPrior(arrays[f"{name}.prior.mean"], arrays[f"{name}.prior.precision"]),
        concentration=header["concentration"],
        shape=arrays[f"{name}.shape"],
        rate=arrays[f"{name}.rate"],
        regression=regression,
        offsets=arrays.get(f"{name}.offsets"),
    )


def _read_table(table: np.ndarray, dim: int) -> np.ndarray:
    """A table in tiles of today: earlier files have longer ones."""
    if table.shape[2] == TILE:
        return table
    triangles = table.transpose(1, 0, 2).reshape(table.shape[1], -1)
    return cut_tiles(triangles[:, : dim * (dim + 1) // 2])


def _pack_labels(name: str, ids: np.ndarray) -> dict[str, np.ndarray]:
    """Labels as arrays: a header holds no more than a hundred million characters."""
    if ids.dtype.kind not in "US":
        return {f"{name}.ids": ids}
    # Lone surrogates, which file names can leave in a label, are kept.
    encoded = [label.encode("utf-8", "surrogatepass") for label in ids.tolist()]
    ends = np.cumsum([len(each) for each in encoded], dtype=np.int64)
    text = np.frombuffer(b"".join(encoded), dtype=np.uint8)
    return {f"{name}.ids.text": text, f"{name}.ids.ends": ends}


def _unpack_labels(
    name: str, arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]
) -> np.ndarray:
    if f"{name}.ids.text" in arrays:
        text = arrays[f"{name}.ids.text"].tobytes()
        ends = arrays[f"{name}.ids.ends"].tolist()
        labels = [
            text[start:end].decode("utf-8", "surrogatepass")
            for start, end in zip([0, *ends], ends, strict=False)
        ]
        return np.asarray(labels, dtype=str)
    # Files of format 1 kept text in the header.
    return np.asarray(header["ids"], dtype=str) if "ids" in header else arrays[f"{name}.ids"]
