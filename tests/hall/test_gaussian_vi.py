"""The deterministic solver against Gaussians it must recover and optima known in closed form."""

import re
import tracemalloc

import numpy as np
import pytest
from scipy.stats import norm, ortho_group, wishart

from ppl_ext.fitting import Deterministic
from ppl_ext.gaussian_vi import (
    refinement,
    respond_linearly,
    solve_full_rank,
    solve_mean_field,
)
from ppl_ext.gaussian_vi.ascent import climb
from ppl_ext.gaussian_vi.curvature import measure_curvature, measure_diagonal_curvature
from ppl_ext.gaussian_vi.standard_draws import draw_standard_normal
from ppl_ext.gaussian_vi.starts import draw_initial_points
from tests.hall.targets import gaussian, make_density, mixture, rotated_log_gamma

PRECISION = wishart(df=9, scale=np.diag([1e-4, 1.0, 1.0, 30.0, 1e4])).rvs(random_state=1)
MEAN = np.array([300.0, -2.0, 0.0, 1.0, 0.03])


def test_draws_integrate_quadratics_exactly():
    half = draw_standard_normal(64, 5, seed=3)
    assert np.allclose(half.T @ half / 64, np.eye(5), atol=1e-12)


def test_draws_follow_the_normal():
    half = draw_standard_normal(4096, 2, seed=3)
    both = np.sort(np.concatenate([half[:, 0], -half[:, 0]]))
    # Kolmogorov-Smirnov distance of 8,192 points; 0.019 is the 0.5 % level for independent ones.
    assert np.abs(norm.cdf(both) - (np.arange(8192) + 0.5) / 8192).max() < 0.01


def test_draws_beyond_the_sobol_table():
    half = draw_standard_normal(16, 30_000, seed=0)
    assert half.shape == (16, 30_000)
    assert np.allclose((half**2).mean(0), 1)


def test_paths_arrive_and_points_without_density_stay():
    density = gaussian(MEAN, PRECISION).log_density

    def broken(z):
        log_p, gradient = density(z)
        return np.where(z[:, 1] > 50, np.nan, log_p), gradient

    starts = np.stack([np.zeros(5), np.array([0.0, 60.0, 0.0, 0.0, 0.0])])
    ends = climb(broken, starts, tolerance=1e-8, max_rounds=2000)
    assert ends.log_p[0] == pytest.approx(density(MEAN[None])[0][0], abs=1e-3)
    assert np.array_equal(ends.points[1], starts[1])
    assert ends.log_p[1] == -np.inf


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_curvature_in_either_precision(precision):
    def log_density(z):
        log_p, gradient = gaussian(MEAN, PRECISION).log_density(z)
        return log_p.astype(precision), gradient.astype(precision)

    curvature = measure_curvature(log_density, MEAN[None], precision)[0]
    scale = np.sqrt(np.diag(PRECISION))
    tolerance = 1e-3 if precision is np.float32 else 1e-7
    assert np.allclose(
        curvature / np.outer(scale, scale), PRECISION / np.outer(scale, scale), atol=tolerance
    )


def test_diagonal_curvature_of_independent_coordinates_is_exact():
    density = gaussian(np.zeros(4), np.diag([1.0, 10.0, 100.0, 1e4]))
    diagonal = measure_diagonal_curvature(
        density.log_density, np.ones(4), np.float64, np.random.default_rng(0)
    )
    assert np.allclose(diagonal, [1.0, 10.0, 100.0, 1e4], rtol=1e-5)


def test_full_rank_recovers_a_gaussian():
    solution = solve_full_rank(gaussian(MEAN, PRECISION))
    assert solution.converged
    assert solution.elbo == pytest.approx(0.0, abs=1e-6)
    sd = np.sqrt(np.diag(np.linalg.inv(PRECISION)))
    assert np.abs((solution.loc - MEAN) / sd).max() < 1e-3
    covariance = solution.scale_tril @ solution.scale_tril.T
    assert np.allclose(
        covariance / np.outer(sd, sd), np.linalg.inv(PRECISION) / np.outer(sd, sd), atol=1e-3
    )
    assert solution.log.gradients < 3000


def test_mean_field_takes_the_conditional_variances_of_a_gaussian():
    solution = solve_mean_field(gaussian(MEAN, PRECISION))
    assert solution.converged
    assert np.allclose(solution.scale**2 * np.diag(PRECISION), 1, atol=0.01)


def test_linear_response_restores_the_covariance_of_a_gaussian():
    density = gaussian(MEAN, PRECISION)
    covariance = respond_linearly(density, solve_mean_field(density))
    truth = np.linalg.inv(PRECISION)
    sd = np.sqrt(np.diag(truth))
    assert np.allclose(covariance / np.outer(sd, sd), truth / np.outer(sd, sd), atol=0.01)


def test_linear_response_refuses_full_rank():
    density = gaussian(np.zeros(2), np.eye(2))
    with pytest.raises(ValueError, match="the fit is full rank"):
        respond_linearly(density, solve_full_rank(density))


@pytest.mark.parametrize("shape", [1.0, 5.0])
def test_full_rank_finds_the_best_gaussian_of_a_skewed_density(shape):
    rotation = ortho_group(4, seed=2).rvs() * np.array([1e-2, 1.0, 3.0, 100.0])[:, None]
    solution = solve_full_rank(rotated_log_gamma(shape, rotation))
    best = rotation @ np.full(4, np.log(shape) - 0.5 / shape)
    root = rotation / np.sqrt(shape)
    whitened = np.linalg.solve(root, solution.loc - best)
    assert solution.converged
    assert np.abs(whitened).max() < 0.06  # three of the promised standard errors
    ratio = np.linalg.solve(root, solution.scale_tril)
    assert np.abs(ratio @ ratio.T - np.eye(4)).max() < 0.1


def test_mean_field_finds_the_best_gaussian_of_a_skewed_density():
    solution = solve_mean_field(rotated_log_gamma(2.0, np.diag([1e-3, 1.0, 1e3])))
    scale = np.array([1e-3, 1.0, 1e3])
    assert np.abs(solution.loc / scale - (np.log(2) - 0.25)).max() < 0.06 / np.sqrt(2)
    assert np.allclose(solution.scale / scale, np.sqrt(0.5), rtol=0.05)


@pytest.mark.parametrize("solve", [solve_full_rank, solve_mean_field])
def test_the_same_seed_gives_the_same_answer(solve):
    first, second = (solve(rotated_log_gamma(1.0, np.eye(3)), seed=4) for _ in range(2))
    assert np.array_equal(first.loc, second.loc)
    assert np.array_equal(first.scale, second.scale)


@pytest.mark.parametrize("solve", [solve_full_rank, solve_mean_field])
def test_seeds_agree_to_the_tolerance(solve):
    locs = [solve(rotated_log_gamma(3.0, np.eye(3)), seed=seed).loc for seed in range(10)]
    assert np.std(locs, axis=0).max() * np.sqrt(3) < 0.02


def test_the_heavier_of_two_modes_is_kept():
    solution = solve_full_rank(
        mixture([[-4.0, -4.0], [4.0, 4.0]], [0.2, 0.8]), Deterministic(num_starts=16)
    )
    assert np.allclose(solution.loc, [4.0, 4.0], atol=0.1)


def test_draws_are_added_until_the_mean_is_known():
    crude = solve_full_rank(rotated_log_gamma(0.5, np.eye(2)), Deterministic(max_draws=256))
    fine = solve_full_rank(rotated_log_gamma(0.5, np.eye(2)))
    assert not crude.converged
    assert crude.num_draws == 256
    assert fine.converged
    assert fine.num_draws > 256
    assert fine.mean_error <= 0.02


def test_a_density_that_is_nowhere_finite_is_named():
    def log_density(z):
        return np.full(len(z), -np.inf), np.full_like(z, np.nan)

    with pytest.raises(ValueError, match="Site 'z' has no finite log density"):
        solve_full_rank(make_density(2, log_density))


def test_half_the_space_may_have_no_density():
    def log_density(z):
        with np.errstate(divide="ignore", invalid="ignore"):
            inside = z[:, :1] > 0
            log_p = np.where(inside, 3 * np.log(z) - z, -np.inf)
            gradient = np.where(inside, 3 / z - 1, np.nan)
        return log_p[:, 0], gradient

    # The truth, Gamma(4, 1), is given no bijection: the answer must stay finite, and says that it
    # could not use draws beyond zero.
    solution = solve_mean_field(make_density(1, log_density))
    assert np.isfinite(solution.elbo)
    assert solution.loc[0] > 0


@pytest.mark.parametrize(
    ("field", "value"),
    [("num_draws", 0), ("num_starts", -1), ("num_starts", 2.5), ("kl_tolerance", 0.0)],
)
def test_options_out_of_range_are_refused(field, value):
    with pytest.raises(ValueError, match=re.escape(f"Deterministic: {field} = {value}")):
        Deterministic(**{field: value})


def test_mean_field_in_many_dimensions_stays_small():
    dim = 20_000
    sd = np.geomspace(1e-2, 1e2, dim)
    density = make_density(dim, lambda z: (-0.5 * ((z / sd) ** 2).sum(-1), -z / sd**2))
    tracemalloc.start()
    solution = solve_mean_field(density)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.allclose(solution.scale / sd, 1, rtol=0.05)
    assert most < 256 * 2**20  # a matrix of these dimensions alone has 3 GB


@pytest.mark.parametrize("solve", [solve_full_rank, solve_mean_field])
def test_an_interrupted_fit_keeps_what_was_reached(solve):
    density = rotated_log_gamma(0.3, np.eye(2))
    whole = solve(density)

    def log_density(z):
        if len(z) >= 2 * 256:  # the second objective, with more draws
            raise KeyboardInterrupt
        return density.log_density(z)

    part = solve(make_density(2, log_density))
    assert whole.num_draws > 256
    assert part.log.interrupted
    assert not part.converged
    assert part.num_draws == 256
    widest = np.abs(part.scale).max()
    assert np.abs(part.loc - whole.loc).max() < 3 * part.mean_error * widest


@pytest.mark.parametrize("solve", [solve_full_rank, solve_mean_field])
def test_an_interruption_among_rivals_keeps_the_finished_leader(solve, monkeypatch):
    finish, finished = refinement._finish, []

    def finish_one(*args):
        if finished:
            raise KeyboardInterrupt
        finished.append(finish(*args))
        return finished[0]

    monkeypatch.setattr(refinement, "_TRIAL_ITERATIONS", 1)
    monkeypatch.setattr(refinement, "_finish", finish_one)
    part = solve(mixture([[-2.0, 0.0], [2.0, 1.0]], [0.6, 0.4]))
    assert part.log.interrupted
    assert part.elbo == finished[0].average.elbo > -min(part.log.start_losses)


def test_an_interruption_before_any_answer_is_passed_on():
    def log_density(z):
        if len(z) > 100:
            raise KeyboardInterrupt
        return -0.5 * (z**2).sum(-1), -z

    with pytest.raises(KeyboardInterrupt):
        solve_full_rank(make_density(2, log_density))


def test_isolated_points_of_density_are_no_posterior():
    def log_density(z):
        known = np.isclose(z, np.round(z, 1), atol=1e-13).all(axis=1)
        first_batch = len(z) == 4
        return np.where(known | first_batch, 0.0, np.nan), -z

    with pytest.raises(ValueError, match="the ELBO is not finite for any Gaussian"):
        solve_full_rank(make_density(2, log_density))


def test_a_density_that_overflows_at_a_distance_is_started_near_the_origin():
    normal = gaussian(np.zeros(2), np.eye(2)).log_density

    def log_density(z):
        log_p, gradient = normal(z)
        return np.where(np.abs(z).max(axis=1) < 0.05, log_p, -np.inf), gradient

    points = draw_initial_points(make_density(2, log_density), 4, np.random.default_rng(0))
    assert np.abs(points).max() < 0.05


@pytest.mark.parametrize("solve", [solve_full_rank, solve_mean_field])
def test_an_improper_posterior_is_named(solve):
    def log_density(z):
        return -0.5 * z[:, 0] ** 2, np.stack([-z[:, 0], np.zeros(len(z))], axis=1)

    with pytest.raises(ValueError, match="give 'z' a proper prior"):
        solve(make_density(2, log_density))


def test_a_sum_that_the_data_know_and_its_parts_that_they_do_not_is_improper():
    def log_density(z):
        total = z.sum(axis=1)
        return -0.5 * (total - 3) ** 2, np.repeat(3 - total[:, None], 2, axis=1)

    with pytest.raises(ValueError, match="expected a proper posterior"):
        solve_full_rank(make_density(2, log_density))


def funnel(dim):
    """Neal's funnel of width 3, in which a Gaussian's draws weigh next to nothing."""

    def log_density(z):
        precision = np.exp(-z[:, 0])
        squares = (z[:, 1:] ** 2).sum(1) * precision
        log_p = -0.5 * (z[:, 0] / 3) ** 2 - 0.5 * (dim - 1) * z[:, 0] - 0.5 * squares
        slope = -z[:, 0] / 9 - 0.5 * (dim - 1) + 0.5 * squares
        return log_p, np.concatenate([slope[:, None], -z[:, 1:] * precision[:, None]], 1)

    return make_density(dim, log_density)


@pytest.mark.parametrize("solve", [solve_full_rank, solve_mean_field])
def test_a_gaussian_far_from_the_density_is_left_where_that_is_asked(solve):
    settled = solve(funnel(30), Deterministic())
    left = solve(funnel(30), Deterministic(min_efficiency=0.05))
    assert left.log.gradients < 0.75 * settled.log.gradients
    assert not left.converged
    assert left.log.reason.startswith("no Gaussian comes near: ")
    # Good enough to go on from.
    assert left.elbo == pytest.approx(settled.elbo, abs=1.0)


def test_a_gaussian_near_the_density_is_not_left():
    density = gaussian([1.0, -2.0], [[2.0, 1.0], [1.0, 2.0]])
    first, second = (
        solve_full_rank(density, Deterministic(min_efficiency=share)) for share in (0.0, 0.9)
    )
    np.testing.assert_array_equal(first.loc, second.loc)
    assert second.converged


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_an_efficiency_is_a_share(share):
    with pytest.raises(ValueError, match=r"min_efficiency = .*from 0 up to 1"):
        Deterministic(min_efficiency=share)


@pytest.mark.parametrize("solve", [solve_full_rank, solve_mean_field])
@pytest.mark.parametrize("seed", range(4))
def test_beside_a_kink_a_density_is_not_taken_for_flat(solve, seed):
    """Of a Laplace density the best Gaussian has E|x| = 1, so its variance is pi / 2."""
    density = make_density(1, lambda z: (-np.abs(z).sum(-1), -np.sign(z)), np.float32)
    solution = solve(density, seed=seed)
    variance = float(np.squeeze(solution.scale)) ** 2
    assert np.isclose(variance, np.pi / 2, rtol=0.05)
