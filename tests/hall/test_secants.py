"""Steps corrected by those before, on residuals that are linear and on a skewed posterior."""

import numpy as np
from scipy.optimize import minimize

from ppl_ext.density import Density, Site
from ppl_ext.gaussian_vi import solve_full_rank
from ppl_ext.gaussian_vi.objective import GaussianAverage
from ppl_ext.gaussian_vi.secants import Secants

TRUTH = np.array([0.3, -0.2, 0.1])
PULL = np.diag([1.6, 0.7, 0.2])  # of the residual towards the truth; 1 would need no correction


def average(slope: np.ndarray, excess: np.ndarray) -> GaussianAverage:
    return GaussianAverage(0.0, slope, excess, np.zeros(len(slope)), 0.0, 0.0)


def test_residuals_linear_in_the_mean_vanish_after_as_many_steps_as_dimensions():
    frame = np.array([[1.0, 0, 0], [0.5, 2.0, 0], [-0.3, 0.4, 0.5]])
    loc, secants = np.zeros(3), Secants(np.ones(3), frame)
    plain = np.zeros(3)
    for _ in range(5):
        slope, _ = secants.correct(loc, np.eye(3), average(PULL @ (TRUTH - loc), np.zeros((3, 3))))
        loc = loc + slope
        plain = plain + PULL @ (TRUTH - plain)
    assert np.abs(loc - TRUTH).max() < 1e-5
    assert np.abs(plain - TRUTH).max() > 0.02


def test_residuals_linear_in_the_covariance_vanish_whatever_the_frame():
    wanted = np.array([[1.0, 0.4], [0.4, 0.8]])
    scale, secants = np.eye(2), Secants(np.zeros(2), np.array([[2.0, 0], [0.7, 0.6]]))
    for _ in range(4):
        inverse = np.linalg.inv(scale)
        residual = 0.4 * (wanted - scale @ scale.T)
        excess = inverse @ residual @ inverse.T
        _, corrected = secants.correct(np.zeros(2), scale, average(np.zeros(2), excess))
        scale = np.linalg.cholesky(scale @ (np.eye(2) + corrected) @ scale.T)
    np.testing.assert_allclose(scale @ scale.T, wanted, atol=1e-6)


def test_only_the_last_point_outlives_forgetting():
    secants, flat = Secants(np.zeros(1), np.eye(1)), np.zeros((1, 1))
    secants.correct(np.zeros(1), np.eye(1), average(np.full(1, 7.0), flat))  # no line leads here
    secants.correct(np.ones(1), np.eye(1), average(np.full(1, 0.5), flat))
    secants.forget()
    slope, _ = secants.correct(np.full(1, 1.5), np.eye(1), average(np.full(1, 0.25), flat))
    np.testing.assert_allclose(slope, 0.5)  # to the root of the line through the last two


def test_a_skewed_posterior_is_reached_in_few_steps():
    # E_q log p is a m - exp(m + s^2 / 2) a coordinate.
    shape = 0.5
    log_gamma = Density(
        dim=2,
        sites=(Site("x", (2,), 0, 2),),
        log_density=lambda z: ((shape * z - np.exp(z)).sum(-1), shape - np.exp(z)),
        log_p=lambda z: (shape * z - np.exp(z)).sum(-1),
        constrain=lambda z: {"x": z},
        explain=lambda z: "",
    )
    best = minimize(
        lambda m: -(shape * m[0] - np.exp(m[0] + m[1] ** 2 / 2) + np.log(abs(m[1]))), [0.0, 1.0]
    )
    solution = solve_full_rank(log_gamma)
    np.testing.assert_allclose(solution.loc, best.x[0], atol=0.06)
    np.testing.assert_allclose(np.diagonal(solution.scale_tril), best.x[1], rtol=0.03)
