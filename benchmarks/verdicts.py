"""Verdicts against the truth: how often "good" was wrong, and how often it was withheld."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["OUTCOMES", "classify", "find_recommended", "summarize"]

# A result is good where worst mean error (in sds) and worst log sd ratio are both below this.
GOOD = 0.1
RECOMMENDED = {"good": "raw", "good after importance resampling": "resampled"}
OUTCOMES = ("good, rightly", "good, WRONGLY", "bad, needlessly", "bad, rightly", "failed")


def is_accurate(errors: Mapping[str, float]) -> bool:
    return errors["mean_error"] < GOOD and errors["sd_error"] < GOOD


def find_recommended(run: Mapping[str, Any]) -> Mapping[str, float] | None:
    """Errors of the draws that the verdict calls good, None where it trusts none."""
    draws = RECOMMENDED.get(run.get("verdict", ""))
    return run[draws] if draws else None


def classify(run: Mapping[str, Any]) -> str:
    """Compare the verdict of a run with the accuracy of the draws that it recommends."""
    if "failure" in run:
        return "failed"
    recommended = find_recommended(run)
    if recommended is not None:
        return "good, rightly" if is_accurate(recommended) else "good, WRONGLY"
    accurate = any(is_accurate(run[draws]) for draws in ("raw", "resampled") if draws in run)
    return "bad, needlessly" if accurate else "bad, rightly"


def summarize(runs: Iterable[Mapping[str, Any]]) -> list[str]:
    """Counts of the outcomes, in their order, as cells of a table."""
    counts = Counter(classify(run) for run in runs)
    return [str(counts[outcome] or "") for outcome in OUTCOMES]
