"""The log likelihood of data that a handler scales, and leaving one of them out.

ArviZ wants ``log p(y_i | draw)``. The posterior counts a datum of weight w as w times that, so it
is left out with its weight, and predicted without. All in closed form.
"""

import arviz_stats
import numpy as np
import pytest
from scipy import special, stats

from ppl_ext.calibration.pit import LOG_LIKELIHOOD
from ppl_ext.draws import estimate_loo

Y = np.array([1.9, 0.3, -0.6, 1.1, 2.4, -1.2, 0.8, 0.1])
WEIGHTS = np.array([0.2, 1.0, 1.5, 0.5, 0.3, 1.4, 0.6, 0.7])
PRIOR = 3.0


def regression(host):
    handlers = host.ppl.poutine if host.name == "pyro" else host.ppl.handlers

    def model(y, weights):
        mu = host.ppl.sample("mu", host.dist.Normal(0.0, PRIOR))
        with host.ppl.plate("row", len(y)), handlers.scale(scale=weights):
            host.ppl.sample("y", host.dist.Normal(mu, 1.0), obs=y)

    return model


def exact_loo(weights):
    total = 0.0
    for i, y in enumerate(Y):
        rest, others = np.delete(weights, i), np.delete(Y, i)
        precision = 1 / PRIOR**2 + rest.sum()
        mean = (rest * others).sum() / precision
        total += stats.norm.logpdf(y, mean, np.sqrt(1 + 1 / precision))
    return total


@pytest.mark.parametrize("weights", [WEIGHTS, np.float64(0.5)], ids=["rows", "tempered"])
def test_a_datum_is_left_out_with_its_weight(host, weights):
    model = regression(host)
    each = np.broadcast_to(weights, Y.shape)
    given = host.array(weights) if weights.ndim else float(weights)
    fitted = host.random(
        host.room.fit, model, host.array(Y), given, guide=host.room.AutoFullRank(model)
    )
    draws = host.random(fitted.draws, 32_000)
    mu = draws.values["mu"]
    precision = 1 / PRIOR**2 + each.sum()
    assert mu.std() == pytest.approx(precision**-0.5, rel=0.05)
    log_likelihood = stats.norm.logpdf(Y, mu[:, None])
    np.testing.assert_allclose(draws.log_likelihood["y"], log_likelihood, atol=1e-4)
    weighted = draws.weighted_log_likelihood["y"]
    np.testing.assert_allclose(weighted, each * log_likelihood, atol=1e-4)
    tree = draws.to_datatree()
    assert float(estimate_loo(tree).elpd) == pytest.approx(exact_loo(each), abs=0.02)
    # Left out as often as it is predicted, a datum of weight w is not what is left out.
    alike = arviz_stats.loo_approximate_posterior(
        tree, tree["sample_stats"]["lp"], tree["sample_stats"]["log_q"]
    )
    assert abs(float(alike.elpd) - exact_loo(each)) > 0.04
    resampled = draws.resample(0)
    assert float(estimate_loo(resampled).elpd) == pytest.approx(exact_loo(each), abs=0.03)


def test_weights_of_a_minibatch_are_no_weights_of_the_data(host):
    def model(y):
        mu = host.ppl.sample("mu", host.dist.Normal(0.0, PRIOR))
        with host.ppl.plate("row", len(y), subsample_size=2) as rows:
            host.ppl.sample("y", host.dist.Normal(mu, 1.0), obs=y[rows])

    stochastic = host.room.Stochastic(max_steps=50)
    fitted = host.random(
        host.room.fit, model, host.array(Y), optimizer=stochastic, progress_bar=False
    )
    draws = host.random(fitted.draws, 50)
    log_likelihood = stats.norm.logpdf(Y, draws.values["mu"][:, None])
    np.testing.assert_allclose(draws.log_likelihood["y"], log_likelihood, atol=1e-4)
    assert not draws.weighted_log_likelihood
    assert "weighted_log_likelihood" not in draws.to_datatree().children


def test_weights_beside_a_class_that_is_summed_out(host):
    handlers = host.ppl.poutine if host.name == "pyro" else host.ppl.handlers
    probs, steps = host.array(np.array([0.3, 0.7])), host.array(np.array([0.0, 2.0]))

    def model(y):
        mu = host.ppl.sample("mu", host.dist.Normal(0.0, PRIOR))
        with host.ppl.plate("row", len(y)):
            z = host.ppl.sample("z", host.dist.Categorical(probs), infer={"enumerate": "parallel"})
            host.ppl.sample("y", host.dist.Normal(mu + steps[z], 1.0), obs=y)
            with handlers.scale(scale=0.5):
                host.ppl.sample("x", host.dist.Normal(mu, 1.0), obs=y)

    guide = host.room.AutoFullRank(model)
    fitted = host.random(host.room.fit, model, host.array(Y), guide=guide)
    draws = host.random(fitted.draws, 50)
    mu = draws.values["mu"][:, None]
    parts = stats.norm.logpdf(Y[:, None], mu[..., None] + [0.0, 2.0])
    summed = special.logsumexp(np.log([0.3, 0.7]) + parts, axis=-1)
    np.testing.assert_allclose(draws.log_likelihood["y"], summed, atol=1e-4)
    plain = stats.norm.logpdf(Y, mu)
    np.testing.assert_allclose(draws.log_likelihood["x"], plain, atol=1e-4)
    assert list(draws.weighted_log_likelihood) == ["x"]
    np.testing.assert_allclose(draws.weighted_log_likelihood["x"], 0.5 * plain, atol=1e-4)


def test_the_truth_of_a_calibration_has_no_weight_either(host):
    model = regression(host)
    calibration = host.random(
        host.room.calibrate, model, host.array(Y), 0.5, num_simulations=20, progress_bar=False
    )
    # Weighted in one place alone, the truth would lie beyond the draws of all simulations.
    assert 0.2 < calibration.pit[LOG_LIKELIHOOD].mean() < 0.8
