"""Whether a fit has more factors than its ratings can carry."""

from __future__ import annotations

import numpy as np

from ppl_ext.factorization.data.ratings import Ratings
from ppl_ext.factorization.model.posterior import Posterior

__all__ = ["describe_excess"]

# Fitted noise over the ratings' own standard deviation. It is below one wherever the factors say
# something, and so much on noise alone with eight numbers a rating to fit.
_LARGEST = 1.5


def describe_excess(posterior: Posterior, ratings: Ratings) -> str:
    r"""Say that a fit has more factors than its ratings can carry.

    Each factor is :math:`u + i` numbers, of users and items. Where there are far more of them than
    ratings, the posterior stays as wide as the prior, and its width is taken for noise: a fit
    whose noise is larger than the ratings' own spread predicts worse than their mean.

    Args:
        posterior: The fit.
        ratings: What it was fitted to.

    Returns:
        A sentence with what to do; empty where nothing is wrong.
    """
    precision = posterior.noise_precision
    for side in (posterior.users, posterior.items):
        if side.concentration:
            precision *= float(np.median(side.weights))
    noise, spread = precision**-0.5, float(np.std(ratings.values, dtype=np.float64))
    count = posterior.num_factors
    if count == 1 or spread == 0 or noise < _LARGEST * spread:
        return ""
    rows = ratings.num_users + ratings.num_items
    fewer = min(count - 1, max(1, len(ratings) // (2 * rows)))
    return (
        f"{count} factors are more than the ratings can carry: {count * rows:,} numbers for "
        f"{len(ratings):,} ratings. The noise is fitted at {noise:.3g}, and the ratings' own "
        f"standard deviation is {spread:.3g}: intervals are too wide. Fit again with fewer, "
        f"MatrixFactorization(num_factors={fewer}), and keep those under which ratings held out "
        "are likelier."
    )
