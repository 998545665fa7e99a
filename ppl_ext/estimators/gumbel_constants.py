"""Numbers of the standard Gumbel distribution that both rooms compute with."""

import numpy as np

# Constants beyond double precision: the nearest double, and what it leaves out.
INV_E = (0.36787944117144233, -1.2428753672788363e-17)  # 1/e
REST = (0.6321205588285577, 1.2428753672788363e-17)  # 1 - 1/e
LOG_REST = (-0.4586751453870819, -1.8138570925507326e-17)  # log(1 - 1/e)
LN2_HIGH = 0.693145751953125  # the leading 16 bits of log 2, whose small multiples are exact
LN2_LOW = 1.4286068203094173e-06
# log((1 - exp(-t)) / t) in powers of t: Bernoulli numbers over n n!.
SERIES = {
    1: -1 / 2,
    2: 1 / 24,
    4: -1 / 2880,
    6: 1 / 181440,
    8: -1 / 9676800,
    10: 1 / 479001600,
    12: -4.403491782239578e-11,
}


def split(constant: tuple[float, float], single: bool) -> tuple[float, float]:
    """Write a constant as a float, of single precision if wanted, and the remainder."""
    nearest, rest = constant
    high = float(np.float32(nearest)) if single else nearest
    return high, nearest - high + rest
