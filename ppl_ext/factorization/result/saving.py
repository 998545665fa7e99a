"""Factors in a file, and back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from ppl_ext.factorization.model.priors import GaussianPrior
from ppl_ext.factorization.model.regression import Regression
from ppl_ext.factorization.model.side_posterior import Side
from ppl_ext.factorization.result.factors import Factors
from ppl_ext.fitting.loop import FitLog
from ppl_ext.storage import read_arrays, write_arrays

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["load_factors", "save_factors"]

_KIND = "factors"
_REGRESSION = ("center", "scale", "coefficients", "relevance", "covariance")
_NUMBERS = ("biases", "diagonal", "center", "noise_precision", "sweeps")


def save_factors(factors: Factors, path: str | os.PathLike[str]) -> None:
    """Write factors to one safetensors file, whole or not at all.

    Args:
        factors: The factors.
        path: Where to.
    """
    arrays: dict[str, np.ndarray] = {"elbo": factors.elbo}
    log = factors.log
    header: dict[str, Any] = {
        "kind": _KIND,
        "log": {"reason": log.reason, "converged": log.converged, "seconds": log.seconds},
        **{name: getattr(factors, name) for name in _NUMBERS},
    }
    for name, side in (("users", factors.users), ("items", factors.items)):
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
        if side.ids.dtype.kind in "US":
            header[name]["ids"] = side.ids.tolist()
        else:
            arrays[f"{name}.ids"] = side.ids
    write_arrays(path, arrays, header)


def load_factors(path: str | os.PathLike[str]) -> Factors:
    """Read factors that ``Factors.save`` or a checkpoint wrote.

    Args:
        path: The file.

    Returns:
        The factors; ``fit(ratings, start=factors)`` goes on from them.

    Raises:
        ValueError: The file is cut off, damaged, or of another kind.
        FileNotFoundError: There is no such file.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from ppl_ext.factorization import MatrixFactorization, simulate_ratings
        >>> ratings = simulate_ratings(num_users=30, num_items=20, seed=0).ratings
        >>> factors = MatrixFactorization(2).fit(ratings, progress_bar=False)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     factors.save(Path(folder, "factors.safetensors"))
        ...     again = load_factors(Path(folder, "factors.safetensors"))
        >>> bool(again.predict(3, 5).mean == factors.predict(3, 5).mean)
        True
    """
    arrays, header = read_arrays(path, kind=_KIND)
    elbo = arrays["elbo"]
    return Factors(
        users=_read_side("users", arrays, header["users"]),
        items=_read_side("items", arrays, header["items"]),
        elbo=elbo,
        log=FitLog(-elbo, **header["log"]),
        **{name: header[name] for name in _NUMBERS},
    )


def _read_side(name: str, arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]) -> Side:
    regression = None
    if "features" in header:
        parts = {part: arrays[f"{name}.regression.{part}"] for part in _REGRESSION}
        regression = Regression(tuple(header["features"]), **parts)
    return Side(
        ids=np.asarray(header["ids"], dtype=str) if "ids" in header else arrays[f"{name}.ids"],
        table=arrays[f"{name}.table"],
        summary=arrays[f"{name}.summary"],
        prior=GaussianPrior(arrays[f"{name}.prior.mean"], arrays[f"{name}.prior.precision"]),
        concentration=header["concentration"],
        shape=arrays[f"{name}.shape"],
        rate=arrays[f"{name}.rate"],
        regression=regression,
        offsets=arrays.get(f"{name}.offsets"),
    )
