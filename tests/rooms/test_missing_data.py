"""Missing data are NaN in the tree and no row to leave out; where they are imputed, as draws."""

import numpy as np
import pytest

from ppl_ext.draws import estimate_loo

ROWS, SEEN = 20, 15
RNG = np.random.default_rng(4)
Y = RNG.normal(1.0, 1.0, ROWS)
MASK = RNG.permutation(ROWS) < SEEN
MISSING = np.where(MASK, Y, np.nan)
PRIOR = 10.0


def fit(host, model, *args):
    guide = host.room.AutoFullRank(model)
    return host.random(host.room.fit, model, *args, guide=guide, progress_bar=False)


def masked(host):
    def model(y, mask):
        mu = host.ppl.sample("mu", host.dist.Normal(0.0, PRIOR))
        with host.ppl.plate("row", len(y)):
            host.ppl.sample("y", host.dist.Normal(mu, 1.0).mask(mask), obs=y)

    return model


def hidden_by_a_handler(host):
    handlers = host.ppl.poutine if host.name == "pyro" else host.ppl.handlers

    def model(y, mask):
        mu = host.ppl.sample("mu", host.dist.Normal(0.0, PRIOR))
        with host.ppl.plate("row", len(y)), handlers.mask(mask=mask):
            host.ppl.sample("y", host.dist.Normal(mu, 1.0), obs=y)

    return model


def imputing(host):
    def model(y, mask):
        mu = host.ppl.sample("mu", host.dist.Normal(0.0, PRIOR))
        with host.ppl.plate("row", len(y)):
            host.ppl.sample("y", host.dist.Normal(mu, 1.0), obs=y, obs_mask=mask)

    return model


def plain(host):
    def model(y):
        mu = host.ppl.sample("mu", host.dist.Normal(0.0, PRIOR))
        with host.ppl.plate("row", len(y)):
            host.ppl.sample("y", host.dist.Normal(mu, 1.0), obs=y)

    return model


def exact() -> tuple[float, float]:
    """Mean and standard deviation of the posterior."""
    precision = 1 / PRIOR**2 + SEEN
    return Y[MASK].sum() / precision, precision**-0.5


def check_posterior(mu) -> None:
    mean, sd = exact()
    assert mu.mean() == pytest.approx(mean, abs=0.02)
    assert mu.std() == pytest.approx(sd, rel=0.05)


@pytest.mark.parametrize("make", [masked, hidden_by_a_handler])
@pytest.mark.parametrize("data", [MISSING, np.nan_to_num(MISSING)])
def test_masked_data_are_missing_in_the_tree_and_no_rows_to_leave_out(host, make, data):
    y, mask = host.array(data), host.array(MASK)
    draws = host.random(fit(host, make(host), y, mask).draws, 4000)
    check_posterior(draws.values["mu"])
    tree = draws.to_datatree()
    np.testing.assert_allclose(tree["observed_data"]["y"], MISSING, rtol=1e-6)
    unknown = np.isnan(tree["log_likelihood"]["y"].to_numpy())
    np.testing.assert_array_equal(unknown, np.broadcast_to(~MASK, unknown.shape))
    known = host.random(fit(host, plain(host), host.array(Y[MASK])).draws, 4000)
    loo, expected = estimate_loo(draws), estimate_loo(known)
    assert loo.n_data_points == SEEN
    assert loo.elpd == pytest.approx(expected.elpd, abs=0.1)
    assert loo.se == pytest.approx(expected.se, abs=0.1)


@pytest.mark.parametrize("data", [MISSING, np.nan_to_num(MISSING)])
def test_missing_data_are_imputed_as_draws(host, data):
    fitted = fit(host, imputing(host), host.array(data), host.array(MASK))
    assert fitted.report().verdict == "good"
    draws = host.random(fitted.draws, 8000)
    check_posterior(draws.values["mu"])
    mean, sd = exact()
    imputed = draws.values["y"]
    np.testing.assert_allclose(imputed[:, MASK], np.tile(Y[MASK], (8000, 1)), rtol=1e-5)
    # A new datum is as uncertain as the mean and its own noise together.
    np.testing.assert_allclose(imputed[:, ~MASK].mean(0), mean, atol=0.06)
    np.testing.assert_allclose(imputed[:, ~MASK].std(0), np.hypot(1.0, sd), rtol=0.04)
    np.testing.assert_allclose(draws.observed["y_observed"], MISSING, rtol=1e-6)
    assert estimate_loo(draws).n_data_points == SEEN


def test_missing_data_of_positive_values_are_imputed(host):
    y = np.exp(MISSING)

    def model(y, mask):
        mu = host.ppl.sample("mu", host.dist.Normal(0.0, PRIOR))
        with host.ppl.plate("row", len(y)):
            host.ppl.sample("y", host.dist.LogNormal(mu, 1.0), obs=y, obs_mask=mask)

    draws = host.random(fit(host, model, host.array(y), host.array(MASK)).draws, 8000)
    check_posterior(draws.values["mu"])
    missing = np.log(draws.values["y"][:, ~MASK])
    np.testing.assert_allclose(missing.mean(0), exact()[0], atol=0.06)
