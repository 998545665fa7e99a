"""Refined rows and the amortization gap, against closed forms of the linear Gaussian model."""

import numpy as np
import pytest
from scipy import stats

from tests.rooms.amortized_programs import (
    DIM,
    NOISE,
    Fitted,
    W,
    draw_linear,
    exact_encoder,
    linear_encoder,
    linear_model,
    solve_linear,
    to_numpy,
)

pytestmark = pytest.mark.usefixtures("fresh_parameters")

ROWS, SHIFT, WIDER = 6, np.array([0.6, -0.9]), 1.7


def solve_family(family):
    """Covariance of the best posterior of a family; its mean is exact."""
    _, covariance, _ = solve_linear(draw_linear())
    if family == "full_rank":
        return covariance
    return np.diag(1 / np.diag(np.linalg.inv(covariance)))


def measure_kl(away, covariance):
    """From a Gaussian to the exact posterior, whose mean it misses by so much."""
    _, exact, _ = solve_linear(draw_linear())
    precision = np.linalg.inv(exact)
    kl = np.trace(precision @ covariance) - DIM + away @ precision @ away
    return (kl + np.linalg.slogdet(exact)[1] - np.linalg.slogdet(covariance)[1]) / 2


def wrong_encoder(host, family):
    """The best one but for a shift of the mean, and a scale that is too wide."""
    _, covariance, _ = solve_linear(draw_linear())
    tril = WIDER * np.linalg.cholesky(solve_family(family))
    outputs = 2 * DIM + (family == "full_rank")
    weight, bias = np.zeros((3, outputs)), np.zeros(outputs)
    weight[:, :DIM] = W @ covariance / NOISE**2
    bias[:DIM] = SHIFT
    bias[DIM : 2 * DIM] = np.log(np.expm1(np.diag(tril)))
    bias[2 * DIM :] = tril[1, 0]
    return linear_encoder(host, weight, bias)


def refine(host, model, encoder, *args, **options):
    """Fitted guide at its start, and what its ``refine`` finds."""
    settings = {name: options.pop(name) for name in ("max_steps", "num_draws") if name in options}
    guide = host.room.AutoAmortized(model, encoder=encoder, **options)
    params = host.random(guide.setup, *args)
    fitted = Fitted(host, model, guide, params if host.name == "numpyro" else None)
    return fitted, host.random(guide.refine, *fitted.state, *args, **settings)


@pytest.fixture(scope="module", params=["full_rank", "mean_field"])
def refined(request, host):
    # A plate that shows half of its rows: a row still counts for itself.
    x = draw_linear(ROWS)
    model, encoder = linear_model(host, size=3), wrong_encoder(host, request.param)
    return request.param, x, *refine(host, model, encoder, host.array(x), local=request.param)


def test_the_gap_is_the_difference_of_the_divergences(refined):
    family, x, _, found = refined
    gap = measure_kl(SHIFT, WIDER**2 * solve_family(family))
    gap -= measure_kl(np.zeros(DIM), solve_family(family))
    assert np.abs(found.gap.rows - gap).max() < 5 * found.gap.row_errors.max() + 0.01
    assert found.gap.mean == pytest.approx(gap, abs=5 * found.gap.error + 0.01)
    assert found.gap.error < 0.1
    evidence = stats.multivariate_normal(np.zeros(3), W @ W.T + NOISE**2 * np.eye(3)).logpdf(x)
    best = evidence - measure_kl(np.zeros(DIM), solve_family(family))
    np.testing.assert_allclose(found.gap.after, best, atol=0.1)
    assert not found.gap.good
    assert "take the refined answers" in str(found.gap)


def test_refined_rows_are_the_best_of_their_family(refined, host):
    family, x, fitted, found = refined
    mean, _, _ = solve_linear(x)
    deviation = np.sqrt(np.diag(solve_family(family)))
    posterior = found.local_posterior()
    np.testing.assert_allclose(to_numpy(posterior.mean), mean, atol=0.03)
    np.testing.assert_allclose(to_numpy(posterior.variance) ** 0.5, [deviation] * ROWS, rtol=0.06)
    np.testing.assert_allclose(to_numpy(found.median()["z"]), mean, atol=0.03)
    levels = [0.1, 0.8]
    expected = mean + stats.norm.ppf(levels)[:, None, None] * deviation
    np.testing.assert_allclose(to_numpy(found.quantiles(levels)["z"]), expected, atol=0.05)
    draws = to_numpy(host.random(found.sample_posterior, sample_shape=(2000,))["z"])
    np.testing.assert_allclose(draws.mean(0), mean, atol=0.06)
    # Those of the guide itself stay where they were.
    before = fitted.guide.quantiles(*fitted.state, levels, host.array(x))["z"]
    shifted = mean + SHIFT + WIDER * stats.norm.ppf(levels)[:, None, None] * deviation
    np.testing.assert_allclose(to_numpy(before), shifted, rtol=1e-4, atol=1e-5)


def shared_model(host):
    """A shared site, a positive local one, and data whose support has an upper end."""
    ppl, dist = host.ppl, host.dist

    def model(x):
        shift = ppl.sample("shift", dist.Normal(0.0, 1.0))
        with ppl.plate("rows", len(x)):
            z = ppl.sample("z", dist.LogNormal(0.0, 1.0))
            ppl.sample("x", dist.Normal(host.math.log(z) + shift, 1.0), obs=x)

    return model


def test_shared_sites_are_held_as_they_are(host):
    """Averaged over the Gaussian of the shift: its mean moves z, its spread costs bound alone."""
    x = np.array([-1.0, 0.5, 2.0])
    encoder = linear_encoder(host, np.zeros((1, 2)), np.zeros(2))
    options = {"init_scale": 0.5, "max_steps": 200}
    _, found = refine(host, shared_model(host), encoder, host.array(x), **options)
    np.testing.assert_allclose(to_numpy(found.median()["z"]), np.exp(x / 2), rtol=0.06)
    bound = stats.norm(0.0, np.sqrt(2)).logpdf(x) - 0.5**2 / 2
    np.testing.assert_allclose(found.gap.after, bound, atol=0.1)
    draws = host.random(found.sample_posterior, sample_shape=(500,))
    assert to_numpy(draws["shift"]).std() == pytest.approx(0.5, rel=0.2)


def test_an_exact_encoder_leaves_nothing_to_refine(host):
    x = draw_linear(ROWS)
    options = {"max_steps": 20, "num_draws": 20}
    _, found = refine(host, linear_model(host), exact_encoder(host), host.array(x), **options)
    assert found.gap.good
    assert np.abs(found.gap.rows).max() < 1e-4
    assert "closed" in str(found.gap)


def test_too_few_steps_are_announced(host):
    x = draw_linear(ROWS)
    options = {"max_steps": 5, "num_draws": 20}
    model, encoder = linear_model(host), wrong_encoder(host, "full_rank")
    _, found = refine(host, model, encoder, host.array(x), **options)
    assert found.gap.unfinished.all()
    assert f"{ROWS} rows were still on their way" in str(found.gap)


def test_rows_that_are_tied_are_refused(host):
    ppl, dist = host.ppl, host.dist

    def tied(x):
        with ppl.plate("rows", len(x)):
            z = ppl.sample("z", dist.Normal(0.0, 1.0))
            ppl.sample("x", dist.Normal(z, 1.0), obs=x)
        ppl.sample("total", dist.Normal(z.sum(), 1.0), obs=x.sum())

    x, encoder = host.array(np.zeros(3)), linear_encoder(host, np.zeros((1, 2)), np.zeros(2))
    with pytest.raises(ValueError, match="outside of plate 'rows' hangs on 'z'"):
        refine(host, tied, encoder, x, max_steps=1)
    with pytest.raises(ValueError, match="max_steps = 0; expected a positive whole number"):
        refine(host, shared_model(host), encoder, x, max_steps=0)
