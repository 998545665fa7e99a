"""How often intervals of one element hold the truth, on average over the prior."""

import numpy as np

from ppl_ext.calibration.expected_coverage import ExpectedCoverage
from ppl_ext.calibration.result import Calibration

__all__ = ["measure_interval_coverage"]


def measure_interval_coverage(
    calibration: Calibration, element: str, *, central: bool = True
) -> ExpectedCoverage:
    """Measure the coverage of intervals of one element, central ones or those below quantiles.

    Below quantiles the curve is the empirical distribution of the places, the picture of
    simulation-based calibration: it sees what is low or high, where central intervals see only
    what is narrow or wide.

    Args:
        calibration: From ``calibrate`` or ``Calibration.from_draws``.
        element: The element, such as ``theta[0]``.
        central: Whether intervals are central; else they reach from below to a quantile.

    Returns:
        The coverage of every level, with its band and p-value.

    Raises:
        ValueError: There is no such element.

    Example:
        >>> low = Calibration({"mu": np.linspace(0.01, 0.49, 99)}, num_draws=99)
        >>> measure_interval_coverage(low, "mu").ok
        True
        >>> round(measure_interval_coverage(low, "mu", central=False).largest_gap, 1)
        0.5

    References:
        Säilynoja, Bürkner, Vehtari (2022), Graphical test for discrete uniformity and its
        applications in goodness-of-fit evaluation and multiple sample comparison, Statistics and
        Computing 32(32).
    """
    places = calibration.find_places(element)
    if central:
        places, regions = np.abs(2 * places - 1), f"centred in the posterior of {element}"
    else:
        regions = f"below quantiles of {element}"
    return ExpectedCoverage(places, calibration.num_draws, regions)
