"""A climb as arrays and plain words, for the file of a fit."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from ppl_ext.climbing.result import Climb
from ppl_ext.correction.result import Corrected, CorrectionLog, Stage
from ppl_ext.density import Density
from ppl_ext.diagnostics.steps import Step
from ppl_ext.diagnostics.verdict import Verdict

__all__ = ["pack_climb", "unpack_climb"]

_CORRECTED = ("evidence", "evidence_error", "rhat", "ess", "ok", "advice")


def pack_climb(climb: Climb) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What of a climb is kept.

    Args:
        climb: The climb.

    Returns:
        Arrays by name, and words that are JSON.

    Example:
        >>> step = Step("full rank", Verdict.GOOD, elbo=-6.7, gradients=1024, seconds=0.1)
        >>> arrays, words = pack_climb(Climb((step,)))
        >>> words["steps"][0]["verdict"], arrays
        ('good', {})
    """
    words: dict[str, Any] = {
        "steps": [
            {**asdict(step), "verdict": step.verdict and str(step.verdict)} for step in climb.steps
        ],
        "notes": list(climb.notes),
        "corrected": None,
    }
    if climb.corrected is None:
        return {}, words
    corrected = climb.corrected
    words["corrected"] = {
        **{name: getattr(corrected, name) for name in _CORRECTED},
        "chains": corrected.draws.chains,
        "log": asdict(corrected.log),
    }
    arrays = {"z": corrected.z, "log_p": corrected.draws.log_p, "log_q": corrected.draws.log_q}
    return arrays, words


def unpack_climb(
    arrays: Mapping[str, np.ndarray], words: Mapping[str, Any], density: Density
) -> Climb:
    """The climb that was kept.

    Args:
        arrays: The arrays of `pack_climb`.
        words: Its words.
        density: The log density of the model, which gives the draws their values.

    Returns:
        The climb, nothing of it lost.

    Example:
        >>> step = Step("full rank", Verdict.GOOD, elbo=-6.7, gradients=1024, seconds=0.1)
        >>> unpack_climb(*pack_climb(Climb((step,))), density=None).steps == (step,)
        True
    """
    steps = tuple(
        Step(**{**step, "verdict": step["verdict"] and Verdict(step["verdict"])})
        for step in words["steps"]
    )
    corrected = None
    if words["corrected"] is not None:
        corrected = _unpack_corrected(arrays, dict(words["corrected"]), density)
    return Climb(steps, corrected, tuple(words["notes"]))


def _unpack_corrected(
    arrays: Mapping[str, np.ndarray], words: dict[str, Any], density: Density
) -> Corrected:
    from ppl_ext.correction.conclusion import collect_draws

    # JSON knows lists, a log has tuples.
    log: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in words.pop("log").items()
    }
    log["stages"] = tuple(Stage(**stage) for stage in log["stages"])
    kept = CorrectionLog(**log)
    draws = collect_draws(
        density,
        arrays["z"],
        arrays["log_p"],
        arrays["log_q"],
        chains=words.pop("chains"),
        resampled=kept.temperature == 1,
    )
    return Corrected(draws, arrays["z"], log=kept, **words)
