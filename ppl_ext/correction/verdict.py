"""Whether corrected draws are those of the posterior, and what to do where they are not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ppl_ext.correction.mixing import Mixing, measure_mixing
from ppl_ext.correction.path import Particles
from ppl_ext.correction.renewal import Renewal
from ppl_ext.diagnostics.moments import label_elements
from ppl_ext.draws.psis import smooth_weights

__all__ = ["Elements", "choose_evidence", "judge_elements", "measure_gap"]

_FEWEST = 200  # effective fresh points that can say anything
_ERRORS = 3.0
_BOUND = 3.0
_KHAT_GOOD = 0.7
_KHAT_MOST = 1.0  # beyond it not even the mean of the weights exists
_EXTREME, _EXTREME_SHARE = 0.01, 0.5


@dataclass(frozen=True)
class Elements:
    """The elements of all sites on constrained space.

    Args:
        rhat: The largest R-hat.
        ess: The smallest effective number of draws.
        worst: Name of the element with the largest R-hat.
        heavy: Names of elements of whose variance a hundredth of the draws carries most.
    """

    rhat: float
    ess: float
    worst: str
    heavy: tuple[str, ...]


def judge_elements(values: Mapping[str, np.ndarray], time: int, islands: int) -> Elements:
    """Judge draws stored by island, particle and time.

    Args:
        values: ``{site: array[draw, ...]}``.
        time: States of every particle.
        islands: Number of islands.

    Returns:
        What is worst about them; elements that never change are left out.
    """
    columns = np.concatenate(
        [np.asarray(array, dtype=float).reshape(len(array), -1) for array in values.values()], 1
    )
    names = np.array(label_elements(values))
    moving = np.isfinite(columns).all(0) & (np.ptp(columns, axis=0) > 0)
    columns, names = columns[:, moving], names[moving]
    if not len(names):
        return Elements(np.inf, 1.0, "", ())
    states = columns.reshape(islands, -1, time, len(names))
    mixing = measure_mixing(np.moveaxis(states, 2, 0))
    squares = np.sort(((columns - columns.mean(0)) / columns.std(0)) ** 2, axis=0)
    extreme = squares[-max(1, int(_EXTREME * len(squares))) :].sum(0) / squares.sum(0)
    return Elements(
        rhat=float(mixing.rhat.max()),
        ess=float(mixing.ess.min()),
        worst=str(names[int(np.argmax(mixing.rhat))]),
        heavy=tuple(map(str, names[extreme > _EXTREME_SHARE])),
    )


def measure_gap(states: list[Particles], renewal: Renewal, mixing: Mixing) -> float:
    """How far fresh weighted points move a mean or spread beyond chance, in sds.

    Islands that all began in the same place agree on what none of them has seen. Points from the
    density fitted to them reach further.

    Args:
        states: The states kept.
        renewal: Fresh points.
        mixing: Of the states kept.

    Returns:
        The largest distance of a mean or mean deviation; 0 where fresh points are too few to
        tell.
    """
    log_weights = renewal.log_weights.ravel()
    effective = renewal.share * len(log_weights)
    if effective < _FEWEST or smooth_weights(log_weights).khat > _KHAT_GOOD:
        return 0.0
    weights = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    some = weights > 0
    weights, points = weights[some], renewal.points.z[some]
    z = np.concatenate([state.z for state in states])
    centre, sd = z.mean(0), z.std(0)
    # Bounded, so that the error of their means is what the effective numbers say.
    kept, fresh = (np.clip((places - centre) / sd, -_BOUND, _BOUND) for places in (z, points))
    gaps = []
    for mine, theirs in ((kept, fresh), (np.abs(kept), np.abs(fresh))):
        mean = weights @ theirs
        variance = (weights**2) @ (theirs - mean) ** 2 + mine.var(0) / mixing.ess
        gaps.append(np.abs(mean - mine.mean(0)) - _ERRORS * np.sqrt(variance))
    return float(np.max(gaps))


def choose_evidence(
    renewal: Renewal | None, along_path: tuple[float, float]
) -> tuple[float, float]:
    """The better estimate of the evidence and its error: from fresh points, or along the path."""
    if renewal is None or renewal.share * renewal.log_weights.size < _FEWEST:
        return along_path
    fresh = renewal.evidence
    reliable = smooth_weights(renewal.log_weights.ravel()).khat < _KHAT_MOST
    return fresh if reliable and fresh[1] < along_path[1] else along_path
