"""Neural posteriors where data, tables and values are not what a network was told of."""

import numpy as np
import pytest
from scipy import stats

QUIET = {"progress_bar": False}
SIGMA = 0.5


def gaussian(host, model, *args, **options):
    return host.room.NPE(model, *args, estimator=host.room.npe.FullRankGaussian, **options)


def train(host, npe, count=400, epochs=2, **options):
    settings = host.room.npe.Training(max_epochs=epochs)
    return host.random(npe.train, count, settings=settings, **QUIET, **options)


def mean_of(host, mask=True):
    """A mean and three data in a plate, of which a mask hides some."""

    def model(y):
        mu = host.ppl.sample("mu", host.dist.Normal(0.0, 1.0))
        with host.ppl.plate("row", 3):
            host.ppl.sample("y", host.dist.Normal(mu, SIGMA).mask(mask), obs=y)

    return model


@pytest.mark.parametrize("shape", [(), (3,)])
def test_whole_zeros_show_a_shape_and_no_type(host, shape):
    def model(y):
        mu = host.ppl.sample("mu", host.dist.Normal(0.0, 1.0))
        fn = host.dist.Normal(mu, SIGMA)
        host.ppl.sample("y", fn.expand(shape).to_event(len(shape)), obs=y)

    given = host.array(np.zeros(shape, np.int64))
    posterior = train(host, gaussian(host, model, given)).posterior(np.full(shape, 1.7))
    draws = host.random(posterior.draws, 50)
    mu = draws.values["mu"]
    likelihood = stats.norm(mu, SIGMA).logpdf(1.7) * 3 ** len(shape)
    np.testing.assert_allclose(draws.log_p, stats.norm.logpdf(mu) + likelihood, rtol=1e-3)


def test_counts_that_are_none_are_refused(host):
    def model(y):
        rate = host.ppl.sample("rate", host.dist.Gamma(2.0, 1.0))
        host.ppl.sample("y", host.dist.Poisson(rate), obs=y)

    npe = train(host, gaussian(host, model, host.array(np.array(3))))
    with pytest.raises(ValueError, match=r"'y'"):
        host.random(npe.posterior(2.7).draws, 10)


def test_masked_data_are_refused(host):
    seen = host.array(np.array([True, True, False]))
    model = mean_of(host, seen)
    with pytest.raises(ValueError, match="a mask hides 1 of 3 values of observed site 'y'"):
        gaussian(host, model, host.array(np.zeros(3)))


def test_scaled_densities_are_refused(host):
    handlers = host.ppl.poutine if host.name == "pyro" else host.ppl.handlers

    def model(y):
        with handlers.scale(scale=2.0):
            mean_of(host)(y)

    with pytest.raises(ValueError, match="density of site 'mu' is scaled"):
        gaussian(host, model, host.array(np.zeros(3)))


@pytest.mark.parametrize("where", ["likelihood", "prior"])
def test_data_that_are_read_twice_are_refused(host, where):
    def model(y):
        middle = y.mean() if where == "prior" else 0.0
        slope = host.ppl.sample("slope", host.dist.Normal(middle, 1.0))
        past = y[:-1] if where == "likelihood" else 1.0
        host.ppl.sample("y", host.dist.Normal(slope * past, SIGMA).expand([4]), obs=y[1:])

    name = {"likelihood": "y", "prior": "slope"}[where]
    with pytest.raises(ValueError, match=f"'{name}' hangs on the values of the data"):
        gaussian(host, model, host.array(np.zeros(5)))


def test_data_beside_covariates_in_one_table_are_no_second_reading(host):
    def model(table):
        slope = host.ppl.sample("slope", host.dist.Normal(0.0, 1.0))
        with host.ppl.plate("row", 4):
            fn = host.dist.Normal(slope * table[:, 0], SIGMA)
            host.ppl.sample("y", fn, obs=table[:, 1])

    table = host.array(np.random.default_rng(0).normal(size=(4, 2)))
    (site,) = gaussian(host, model, table).task.observed
    assert site.set_axis is None


def test_nothing_seen_is_refused(host):
    npe = gaussian(host, mean_of(host), host.array(np.zeros(3)), missing=True)
    for nothing in (np.full(3, np.nan), np.zeros(0)):
        with pytest.raises(ValueError, match="observation 0 holds no value"):
            npe.task.read(nothing)


def test_an_argument_of_the_model_may_be_called_data(host):
    def model(*, data):
        mu = host.ppl.sample("mu", host.dist.Normal(0.0, 1.0))
        host.ppl.sample("y", host.dist.Normal(mu, SIGMA), obs=data)

    npe = train(host, gaussian(host, model, data=host.array(np.array(0.0))))
    draws = host.random(npe.posterior(1.2).draws, 20)
    mu = draws.values["mu"]
    exact = stats.norm.logpdf(mu) + stats.norm(mu, SIGMA).logpdf(1.2)
    np.testing.assert_allclose(draws.log_p, exact, rtol=1e-3)
