"""Neural posteriors of models whose posterior is known, in both rooms."""

import functools

import numpy as np
import pytest
from scipy import integrate, stats

ROWS = 4
QUIET = {"progress_bar": False}


def train(host, npe, *args, **options):
    return host.random(npe.train, *args, **QUIET, **options)


def plain(value):
    return np.asarray(value.detach() if hasattr(value, "detach") else value)


def normal_model(host):
    """A mean and four data in no order: the posterior is N(sum / 5, 1 / 5)."""

    def model(y):
        mu = host.ppl.sample("mu", host.dist.Normal(0.0, 1.0))
        with host.ppl.plate("row", ROWS):
            host.ppl.sample("y", host.dist.Normal(mu, 1.0), obs=y)

    return model


@pytest.fixture(scope="module")
def trained(host):
    gaussian = host.room.npe.FullRankGaussian
    npe = host.room.NPE(normal_model(host), host.array(np.zeros(ROWS)), estimator=gaussian)
    return train(host, npe, 5000, settings=host.room.npe.Training(max_epochs=10))


def test_rows_in_no_order_are_found(trained):
    (site,) = trained.task.observed
    assert (site.name, site.shape, site.set_axis) == ("y", (ROWS,), 0)


def test_a_linear_gaussian_posterior_is_learned(host, trained):
    y = np.array([0.5, 1.5, 2.0, 0.0])
    posterior = trained.posterior(host.array(y))
    exact = stats.norm(y.sum() / 5, np.sqrt(1 / 5))
    points = np.linspace(0, 1.6, 7)
    found = posterior.log_prob({"mu": points})
    np.testing.assert_allclose(found, exact.logpdf(points), atol=0.2)
    draws = host.random(posterior.draws, 4000)
    assert stats.kstest(draws.values["mu"], exact.cdf).statistic < 0.06
    # The weights are those of the model: log p(mu, y) - log q(mu | y) is the evidence.
    evidence = stats.multivariate_normal(np.zeros(4), np.eye(4) + 1).logpdf(y)
    assert abs(draws.log_weights.mean() - evidence) < 0.01
    assert draws.log_likelihood["y"].shape == (4000, ROWS)


def test_a_correction_tells_the_evidence(host, trained):
    y = np.array([0.5, 1.5, 2.0, 0.0])
    answer = host.random(trained.posterior(y).correct, **QUIET)
    evidence, error = answer.log_evidence
    exact = stats.multivariate_normal(np.zeros(4), np.eye(4) + 1).logpdf(y)
    assert answer.ok, str(answer)
    assert abs(evidence - exact) < max(0.005, 4 * error)
    assert abs(answer.draws.values["mu"].mean() - y.sum() / 5) < 0.03


def test_many_observations_at_once(host, trained):
    y = np.random.default_rng(0).normal(size=(50, ROWS))
    posterior = trained.posterior(y)
    drawn = host.random(posterior.sample, 500)["mu"]
    assert drawn.shape == (50, 500)
    np.testing.assert_allclose(drawn.mean(1), y.sum(1) / 5, atol=0.15)
    middle = host.random(posterior.quantiles, [0.1, 0.5])["mu"]
    assert middle.shape == (2, 50)
    assert (middle[0] < middle[1]).all()
    with pytest.raises(ValueError, match="many observations"):
        host.random(posterior.draws)


def test_the_mode(host, trained):
    y = np.array([0.5, 1.5, 2.0, 0.0])
    assert abs(host.random(trained.posterior(y).mode)["mu"] - y.sum() / 5) < 0.06
    with pytest.raises(ValueError, match="many observations"):
        host.random(trained.posterior(y[None]).mode)


def test_the_order_of_the_rows_does_not_matter(trained):
    y = np.array([0.5, 1.5, 2.0, 0.0])
    one, other = (trained.posterior(each).log_prob({"mu": [0.3]}) for each in (y, y[::-1]))
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_a_file_brings_the_same_posterior(host, trained, tmp_path):
    path = tmp_path / "npe.safetensors"
    trained.save(path)
    gaussian = host.room.npe.FullRankGaussian
    other = host.room.NPE(normal_model(host), host.array(np.zeros(ROWS)), estimator=gaussian)
    y = np.array([0.5, 1.5, 2.0, 0.0])
    one, two = (each.posterior(y).log_prob({"mu": [0.3]}) for each in (trained, other.load(path)))
    np.testing.assert_array_equal(one, two)
    flow = host.room.NPE(normal_model(host), host.array(np.zeros(ROWS)))
    with pytest.raises(ValueError, match="the estimator and the embedding"):
        flow.load(path)


def test_a_posterior_is_a_guide(host, trained):
    """The host draws it, and its objective is minus the evidence where the posterior is right."""
    y = host.array(np.array([0.5, 1.5, 2.0, 0.0]))
    posterior = trained.posterior(y)
    site = host.trace(posterior, y)["mu"]
    assert np.shape(site["value"]) == ()
    loss = host.ppl.infer.Trace_ELBO(num_particles=50)
    if host.name == "pyro":
        found = host.random(loss.loss, normal_model(host), posterior, y)
    before = posterior.log_prob({"mu": [0.3]})
    (_, *state) = host.run_svi(normal_model(host), posterior, loss, 3, y)
    found = float(state[0].losses[0]) if state else found
    exact = stats.multivariate_normal(np.zeros(4), np.eye(4) + 1).logpdf(np.asarray(y))
    assert abs(found + exact) < 0.1
    # A refinement for one observation leaves the network of all others alone.
    np.testing.assert_array_equal(trained.posterior(y).log_prob({"mu": [0.3]}), before)


def bounded_model(host, sd):
    """The place of one noisy datum under a uniform prior."""

    def model(y):
        theta = host.ppl.sample("theta", host.dist.Uniform(0.0, 2.0))
        host.ppl.sample("y", host.dist.Normal(theta, sd), obs=y)

    return model


def test_draws_stay_in_the_support(host):
    """A uniform prior cut by the data near its edge, against quadrature."""
    flow = functools.partial(host.room.flows.CouplingFlow, num_layers=1)
    npe = host.room.NPE(bounded_model(host, 0.5), host.array(np.array(0.0)), estimator=flow)
    npe = train(host, npe, 4000, settings=host.room.npe.Training(max_epochs=12))
    posterior = npe.posterior(np.array(1.9))

    def weight(theta):
        return stats.norm.pdf(1.9, theta, 0.5)

    grid = np.linspace(1e-4, 2 - 1e-4, 4001)
    found = np.exp(posterior.log_prob({"theta": grid}))
    assert abs(integrate.trapezoid(found, grid) - 1) < 0.005
    total = integrate.quad(weight, 0, 2)[0]
    assert integrate.trapezoid(np.abs(found - weight(grid) / total), grid) / 2 < 0.1
    drawn = host.random(posterior.sample, 4000)["theta"]
    assert drawn.min() > 0
    assert drawn.max() < 2
    mean = integrate.quad(lambda theta: theta * weight(theta), 0, 2)[0] / total
    assert abs(drawn.mean() - mean) < 0.05


def test_a_guide_has_the_density_of_its_posterior(host):
    """Through coordinates that are bounded values, by the host's own sites."""
    gaussian = host.room.npe.FullRankGaussian
    npe = host.room.NPE(bounded_model(host, 0.1), host.array(np.array(0.0)), estimator=gaussian)
    npe = train(host, npe, 2000, settings=host.room.npe.Training(max_epochs=2))
    assert npe.trained.frame.clip.bent.all()
    y = host.array(np.array(1.9))
    posterior = npe.posterior(y)
    sites = [site for site in host.trace(posterior, y).values() if site["type"] == "sample"]
    value = next(plain(site["value"]) for site in sites if site["name"] == "theta")
    found = sum(plain(site["fn"].log_prob(site["value"])) for site in sites)
    np.testing.assert_allclose(found, posterior.log_prob({"theta": value[None]})[0], atol=1e-3)


def test_missing_rows_and_values(host):
    gaussian = host.room.npe.FullRankGaussian
    npe = host.room.NPE(
        normal_model(host), host.array(np.zeros(ROWS)), estimator=gaussian, missing=True
    )
    npe = train(host, npe, 4000, fresh=True, settings=host.room.npe.Training(max_epochs=25))
    for y in (np.ones(ROWS), np.ones(2), np.array([1.0, np.nan, np.nan, np.nan])):
        seen = np.isfinite(y).sum()
        drawn = host.random(npe.posterior(y).sample, 4000)["mu"]
        assert abs(drawn.mean() - seen / (seen + 1)) < 0.08
        assert abs(np.log(drawn.std() * np.sqrt(seen + 1))) < 0.15


def test_a_simulator_that_is_no_program(host):
    """Latent values come from the prior; failures are counted; a nuisance is left out."""

    def prior():
        host.ppl.sample("mu", host.dist.Normal(0.0, 1.0))
        host.ppl.sample("noise", host.dist.Normal(0.0, 1.0))

    def simulate(values, rng):
        if values["mu"] > 2.5:
            raise ValueError("too hot")
        return {"y": values["mu"] + values["noise"]}

    gaussian = host.room.npe.FullRankGaussian
    npe = host.room.NPE(prior, latent="mu", simulator=simulate, estimator=gaussian)
    table = host.random(npe.simulate, 2000, **QUIET)
    assert any("too hot" in reason for reason in table.dropped)
    assert set(table.latent) == {"mu"}
    npe = train(host, npe, simulations=table, settings=host.room.npe.Training(max_epochs=15))
    drawn = host.random(npe.posterior(np.array(1.0)).sample, 4000)["mu"]
    assert abs(drawn.mean() - 0.5) < 0.1
    assert abs(np.log(drawn.std() / np.sqrt(0.5))) < 0.1
    with pytest.raises(ValueError, match="no density of the sites of interest"):
        host.random(npe.posterior(np.array(1.0)).correct)


def test_a_later_round_has_noise_of_its_own(host):
    def prior():
        host.ppl.sample("mu", host.dist.Normal(0.0, 1.0))

    npe = host.room.NPE(prior, simulator=lambda values, rng: rng.normal(size=2))
    source = (
        host.random(npe.task.make_source) if host.name == "numpyro" else npe.task.make_source(0)
    )
    one, two = (
        source.simulate(np.arange(first, first + 5), **QUIET).observed["x"] for first in (0, 5)
    )
    assert np.intersect1d(one, two).size == 0
    again = source.simulate(np.arange(5, 10), **QUIET).observed["x"]
    np.testing.assert_array_equal(two, again)


def test_rounds_look_where_the_posterior_is(host):
    gaussian = host.room.npe.FullRankGaussian
    npe = host.room.NPE(normal_model(host), host.array(np.zeros(ROWS)), estimator=gaussian)
    y = np.full(ROWS, 3.0)  # far out in the prior predictive
    settings = host.room.npe.Training(max_epochs=15)
    host.random(npe.train_for, y, 6000, num_rounds=2, settings=settings, **QUIET)
    drawn = host.random(npe.posterior(y).sample, 4000)["mu"]
    assert abs(drawn.mean() - 2.4) < 0.1
    assert abs(np.log(drawn.std() * np.sqrt(5))) < 0.15


def test_fresh_pairs_and_a_mixture(host):
    """Two ways to the same datum: the posterior has two modes of equal weight."""

    def model(y):
        theta = host.ppl.sample("theta", host.dist.Normal(0.0, 2.0))
        host.ppl.sample("y", host.dist.Normal(theta**2, 0.5), obs=y)

    mixture = functools.partial(host.room.npe.MixtureDensity, num_components=4)
    npe = host.room.NPE(model, host.array(np.array(0.0)), estimator=mixture)
    settings = host.room.npe.Training(max_epochs=15)
    npe = train(host, npe, 4000, fresh=True, settings=settings)
    drawn = host.random(npe.posterior(np.array(4.0)).sample, 4000)["theta"]
    assert abs((drawn > 0).mean() - 0.5) < 0.15
    assert abs(np.median(np.abs(drawn)) - 2.0) < 0.1


def test_a_regression_is_no_set(host):
    """Rows with covariates of their own have names: their order tells."""

    def model(x, y):
        slope = host.ppl.sample("slope", host.dist.Normal(0.0, 1.0))
        with host.ppl.plate("row", ROWS):
            host.ppl.sample("y", host.dist.Normal(slope * x, 1.0), obs=y)

    x = host.array(np.array([-1.0, 1.0, -1.0, 1.0]))
    npe = host.room.NPE(model, x, host.array(np.zeros(ROWS)))
    assert npe.task.observed[0].set_axis is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"observed": "z"}, "observed names 'z'"),
        ({"latent": ["nu"]}, "latent names 'nu'"),
    ],
)
def test_sites_that_are_not_there(host, options, message):
    with pytest.raises(ValueError, match=message):
        host.room.NPE(normal_model(host), host.array(np.zeros(ROWS)), **options)


def test_a_discrete_site_is_refused(host):
    def model(y):
        k = host.ppl.sample("k", host.dist.Poisson(3.0))
        host.ppl.sample("y", host.dist.Normal(k, 1.0), obs=y)

    with pytest.raises(ValueError, match="site 'k' is discrete"):
        host.room.NPE(model, host.array(np.array(0.0)))


def test_observations_that_do_not_fit(host, trained):
    with pytest.raises(ValueError, match=r"shape \(3,\); expected \(4,\)"):
        trained.posterior(np.zeros(3))
    with pytest.raises(ValueError, match="not finite"):
        trained.posterior(np.full(ROWS, np.nan))
    with pytest.raises(ValueError, match=r"has the sites \['x'\]"):
        trained.posterior({"x": np.zeros(ROWS)})
    untrained = host.room.NPE(normal_model(host), host.array(np.zeros(ROWS)))
    with pytest.raises(RuntimeError, match="has not been trained"):
        untrained.posterior(np.zeros(ROWS))


def nested_model(host):
    """Groups in the outer of two plates, whose values the hosts pad to [group, 1]."""

    def model(y):
        with host.ppl.plate("group", 3, dim=-2):
            level = host.ppl.sample("level", host.dist.Normal(0.0, 1.0))
            with host.ppl.plate("row", 2, dim=-1):
                host.ppl.sample("y", host.dist.Normal(level, 1.0), obs=y)

    return model


def test_a_table_needs_no_dimensions_that_pad_its_sites(host):
    npe = host.room.NPE(nested_model(host), host.array(np.zeros((3, 2))))
    rng = np.random.default_rng(0)
    level = rng.normal(size=(200, 3))
    y = level[:, :, None] + rng.normal(size=(200, 3, 2))
    tables = [npe.task.take_table({"level": each}, {"y": y}) for each in (level, level[..., None])]
    for table in tables:
        np.testing.assert_array_equal(table.latent["level"], level[..., None])
    with pytest.raises(ValueError, match=r"'level' has shape \(200, 2\).*expected \[row, 3, 1\]"):
        train(host, npe, simulations=({"level": level[:, :2]}, {"y": y}))


def test_tables_that_do_not_fit(host):
    npe = host.room.NPE(normal_model(host), host.array(np.zeros(ROWS)))
    mu, y = np.zeros(200), np.random.default_rng(0).normal(size=(200, ROWS))
    with pytest.raises(ValueError, match="observed site 'y' is missing"):
        train(host, npe, simulations=({"mu": mu}, {"x": y}))
    with pytest.raises(ValueError, match="'y' is the same in all simulations"):
        train(host, npe, simulations=({"mu": mu}, {"y": np.zeros((200, ROWS))}))
    with pytest.raises(ValueError, match="Expected at least 100"):
        train(host, npe, simulations=({"mu": mu[:50]}, {"y": y[:50]}))
