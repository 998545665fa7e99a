"""Modes that the fitted Gaussian misses become parts of the start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ppl_ext.correction.start import Part, Start
from ppl_ext.density import Density
from ppl_ext.diagnostics.gaussian import Gaussian
from ppl_ext.diagnostics.modes import MissedMode, count_searches, find_missed_modes
from ppl_ext.diagnostics.valleys import are_apart
from ppl_ext.gaussian_vi.curvature import measure_curvature
from ppl_ext.gaussian_vi.objective import CountedDensity
from ppl_ext.gaussian_vi.starts import factor_covariance

__all__ = ["add_missed_modes"]

_GRADIENTS_PER_SEARCH = 2000  # of the budget: one path takes some fifty
_LEAST_SHARE = 0.1  # of a part: Laplace's shares are crude, the path sets them right


def add_missed_modes(
    density: Density,
    counted: CountedDensity,
    gaussian: Part,
    log_evidence: float,
    rng: np.random.Generator,
    max_gradients: int,
    known: Sequence[MissedMode] = (),
) -> Start:
    """The start: the fitted Gaussian and one part for each mode apart from it.

    Args:
        density: The log density.
        counted: The same, counting its gradients.
        gaussian: The fitted Gaussian.
        log_evidence: What it says of the evidence.
        rng: Source of randomness.
        max_gradients: The budget, of which the searches may take a small part.
        known: Modes that were found before; searches that start elsewhere may not meet them again.

    Returns:
        The start.
    """
    whole = replace(density, log_density=counted)
    guide = Gaussian(gaussian.loc, gaussian.scale_tril)
    searches = min(count_searches(density.dim), max_gradients // _GRADIENTS_PER_SEARCH)
    found = find_missed_modes(whole, guide, log_evidence, rng, searches)
    parts, shares = [gaussian], [1.0]
    for mode in (*known, *found):
        if not all(
            are_apart(counted, part.loc, mode.location, gaussian.scale_tril) for part in parts
        ):
            continue
        factor = factor_covariance(
            measure_curvature(counted, mode.location[None], density.dtype)[0]
        )
        if factor is not None:
            parts.append(Part(mode.location, factor))
            shares.append(max(mode.share, _LEAST_SHARE))
    log_shares = np.log(shares) - np.log(np.sum(shares))
    return Start(
        tuple(
            replace(part, log_share=float(share))
            for part, share in zip(parts, log_shares, strict=True)
        )
    )
