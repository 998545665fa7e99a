"""What both hosts evaluate Ein(t) = gamma + E1(t) + ln t with.

Below one, its power series, the sum over k >= 1 of (-1)^(k+1) t^k / (k k!), cut where the rest is
below 3e-10. Above, t exp(t) E1(t) as a ratio of polynomials in 1 / t, to 2e-8 (Abramowitz, Stegun
1964, Handbook of Mathematical Functions, 5.1.11 and 5.1.56). PyTorch has no E1, that of JAX 0.10
takes minutes where this takes milliseconds, and gamma + E1(t) + ln t loses its digits at small t.
"""

import math

__all__ = ["LARGE_BOTTOM", "LARGE_TOP", "SERIES"]

SERIES = tuple((-1) ** k / ((k + 1) * math.factorial(k + 1)) for k in range(11))
LARGE_TOP = (1.0, 8.5733287401, 18.0590169730, 8.6347608925, 0.2677737343)
LARGE_BOTTOM = (1.0, 9.5733223454, 25.6329561486, 21.0996530827, 3.9584969228)
