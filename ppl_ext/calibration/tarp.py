"""Coverage of regions about random points, which needs draws alone."""

import numpy as np

from ppl_ext.calibration.expected_coverage import ExpectedCoverage
from ppl_ext.calibration.pit import pair_up, place_among

__all__ = ["measure_tarp"]

_BOX = (0.01, 0.99)  # quantiles between which reference points lie


def measure_tarp(
    truths: np.ndarray,
    draws: np.ndarray,
    *,
    references: np.ndarray | None = None,
    seed: int = 0,
) -> ExpectedCoverage:
    r"""Test posteriors by the distance to random points: tests of accuracy with random points.

    .. math:: f = \frac{\#\{\lVert\theta_l - r\rVert < \lVert\theta^* - r\rVert\}}{L}

    is uniform for right posteriors and every reference point :math:`r` that does not know the
    truth. No density is needed, and every dimension counts. Truths, draws and reference points are
    scaled alike, by the moments of all truths and draws together: which of them is the truth
    plays no part, and the law stays exact.

    Points that do not know the data cannot tell a posterior from its prior. Reference points that
    do, such as a point estimate of each simulation or a summary of its data, can.

    Args:
        truths: ``[simulation, dim]``, from the prior.
        draws: ``[simulation, draw, dim]``, from the posteriors of data simulated from the truths.
        references: ``[simulation, dim]``, made from the data or of nothing, never from the truths;
            uniform over the range of truths and draws if None.
        seed: Of the reference points.

    Returns:
        The coverage of every level, with its band and p-value.

    Raises:
        ValueError: Shapes that do not fit, NaN, or fewer than two simulations.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> mean, noise = rng.normal(size=(300, 2)), rng.normal(size=(300, 99, 2))
        >>> truths = mean + rng.normal(size=(300, 2))
        >>> measure_tarp(truths, mean[:, None] + noise).ok
        True
        >>> print(measure_tarp(truths, mean[:, None] + 0.4 * noise).verdict)
        overconfident

    References:
        Lemos, Coogan, Hezaveh, Perreault-Levasseur (2023), Sampling-based accuracy testing of
        posterior estimators for general inference, ICML.
    """
    true, drawn = pair_up("measure_tarp", {"draws": truths}, {"draws": draws})["draws"]
    if true.ndim != 2 or not (np.isfinite(true).all() and np.isfinite(drawn).all()):
        raise ValueError(
            f"measure_tarp: truths of shape {true.shape}, or infinite values; expected finite "
            "[simulation, dim]. Flatten what a simulation has: truths.reshape(len(truths), -1)."
        )
    rng = np.random.default_rng(seed)
    pooled = np.concatenate([true[:, None], drawn], axis=1, dtype=np.float64)
    everything = pooled.reshape(-1, pooled.shape[-1])
    scale = everything.std(0)
    scale[scale == 0] = 1.0
    if references is None:
        low, high = np.quantile(everything, _BOX, axis=0)
        points = rng.uniform(low, high, size=true.shape)
    else:
        points = np.asarray(references, dtype=np.float64)
    if points.shape != true.shape or not np.isfinite(points).all():
        raise ValueError(
            f"measure_tarp: references have shape {points.shape}, or are not finite; expected one "
            f"point for each simulation, {true.shape}. Leave references out for random points."
        )
    # A shift leaves distances alone; what remains of standardising is the scale.
    distances = np.linalg.norm((pooled - points[:, None]) / scale, axis=-1)
    places = place_among(distances[:, 0], distances[:, 1:], rng, axis=1)
    return ExpectedCoverage(places, drawn.shape[1], "about random points")
