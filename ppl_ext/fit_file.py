"""What a run leaves behind, its log and its Gaussian, as arrays and plain words for a file."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ppl_ext.fitting.loop import FitLog
from ppl_ext.gaussian_vi import GaussianSolution

__all__ = ["pack_run", "select_arrays", "unpack_run"]

_LOG = (
    "reason",
    "converged",
    "seconds",
    "compile_seconds",
    "gradients",
    "restarts",
    "notes",
    "plateaus",
)
_SOLUTION = ("elbo", "predicted_kl", "mean_error", "draws", "converged")


def pack_run(
    log: FitLog, solution: GaussianSolution | None
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Take a run apart into what `ppl_ext.storage.write_arrays` writes.

    Args:
        log: The log of the run.
        solution: The solver's Gaussian, None after stochastic gradients.

    Returns:
        The arrays and the entries of the header.

    Example:
        >>> log = FitLog(np.array([2.0, 1.0]), "converged", True, seconds=0.1)
        >>> arrays, header = pack_run(log, None)
        >>> unpack_run(arrays, header)[0].reason
        'converged'
    """
    arrays = {"losses": log.losses}
    header: dict[str, Any] = {"log": {key: getattr(log, key) for key in _LOG}, "solution": None}
    if solution is not None:
        arrays |= {"solution/loc": solution.loc, "solution/scale": solution.scale}
        header["solution"] = {key: getattr(solution, key) for key in _SOLUTION}
    return arrays, header


def unpack_run(
    arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]
) -> tuple[FitLog, GaussianSolution | None]:
    """Put a run together again from what `ppl_ext.storage.read_arrays` read.

    Args:
        arrays: The arrays of `pack_run`, others beside them.
        header: Its header.

    Returns:
        The log and the solution.

    Example:
        >>> log = FitLog(np.array([1.0]), "converged", True, seconds=0.1, restarts=(1.0, 3.0))
        >>> unpack_run(*pack_run(log, None))[0].restarts
        (1.0, 3.0)
    """
    # JSON knows lists, a log has tuples.
    words: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in header["log"].items()
    }
    log = FitLog(losses=arrays["losses"], **words)
    if header["solution"] is None:
        return log, None
    loc, scale = arrays["solution/loc"], arrays["solution/scale"]
    return log, GaussianSolution(loc=loc, scale=scale, **header["solution"], log=log)


def select_arrays(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The arrays whose names begin with a prefix, without it.

    Args:
        arrays: Arrays by name.
        prefix: The beginning.

    Returns:
        Those arrays by the rest of their names.

    Example:
        >>> select_arrays({"params/loc": np.zeros(2), "losses": np.zeros(3)}, "params/")
        {'loc': array([0., 0.])}
    """
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
