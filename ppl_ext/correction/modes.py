"""Modes that the fitted Gaussian misses become parts of the start."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ppl_ext.correction.start import Part, Start
from ppl_ext.density import Density
from ppl_ext.diagnostics.gaussian import Gaussian
from ppl_ext.diagnostics.modes import find_missed_modes
from ppl_ext.gaussian_vi.curvature import measure_curvature
from ppl_ext.gaussian_vi.objective import CountedDensity
from ppl_ext.gaussian_vi.starts import factor_covariance

__all__ = ["add_missed_modes"]

_SEARCHES = 31
_LEAST_SHARE = 0.1  # of a part: Laplace's shares are crude, the path sets them right
_VALLEY = 2.0  # nats by which the density falls between two modes that are two
_ON_THE_WAY = 15


def add_missed_modes(
    density: Density,
    counted: CountedDensity,
    gaussian: Part,
    log_evidence: float,
    rng: np.random.Generator,
) -> Start:
    """The start: the fitted Gaussian and one part for each mode apart from it.

    Args:
        density: The log density.
        counted: The same, counting its gradients.
        gaussian: The fitted Gaussian.
        log_evidence: What it says of the evidence.
        rng: Source of randomness.

    Returns:
        The start.
    """
    whole = replace(density, log_density=counted)
    found = find_missed_modes(
        whole, Gaussian(gaussian.loc, gaussian.scale_tril), log_evidence, rng, _SEARCHES
    )
    parts, shares = [gaussian], [1.0]
    for mode in found:
        if not all(_is_apart(counted, mode.location, part.loc) for part in parts):
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


def _is_apart(density: CountedDensity, first: np.ndarray, second: np.ndarray) -> bool:
    """Whether a valley lies between two points."""
    way = np.linspace(0, 1, _ON_THE_WAY)[:, None]
    log_p = np.nan_to_num(density(first + way * (second - first))[0], nan=-np.inf)
    return bool(log_p.min() < min(log_p[0], log_p[-1]) - _VALLEY)
