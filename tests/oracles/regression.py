"""Linear regression with known noise: posterior and evidence in closed form.

``b ~ N(0, PRIOR_SD^2 I)``, ``y ~ N(X b, NOISE_SD^2 I)``; the posterior is Gaussian, so that a
full-rank guide can be exact and a mean-field one has sds ``1 / sqrt(precision_jj)``.
"""

import numpy as np
from scipy import stats

PRIOR_SD, NOISE_SD = 2.0, 0.7
X = np.random.default_rng(1).normal(size=(20, 3)) @ np.array(
    [[1.0, 0.6, 0.0], [0.0, 0.8, 0.5], [0.0, 0.0, 1.0]]
)
Y = X @ np.array([1.0, -2.0, 0.5]) + NOISE_SD * np.random.default_rng(2).normal(size=20)

PRECISION = X.T @ X / NOISE_SD**2 + np.eye(3) / PRIOR_SD**2
COVARIANCE = np.linalg.inv(PRECISION)
MEAN = COVARIANCE @ X.T @ Y / NOISE_SD**2
SD = np.sqrt(np.diag(COVARIANCE))
MEAN_FIELD_SD = 1 / np.sqrt(np.diag(PRECISION))
LOG_EVIDENCE = float(
    stats.multivariate_normal.logpdf(
        Y, np.zeros(20), PRIOR_SD**2 * X @ X.T + NOISE_SD**2 * np.eye(20)
    )
)
# The best mean-field ELBO lies below the evidence by its divergence, a ratio of determinants.
MEAN_FIELD_ELBO = LOG_EVIDENCE - 0.5 * float(
    np.log(np.diag(PRECISION)).sum() - np.linalg.slogdet(PRECISION)[1]
)
