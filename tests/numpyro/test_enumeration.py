"""Discrete sites that are summed out, against mixtures, the forward algorithm and enumeration."""

import itertools

import funsor
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers
from numpyro.contrib.control_flow import scan
from numpyro.contrib.funsor import config_enumerate, markov
from numpyro.infer import MCMC, NUTS, TraceEnum_ELBO
from numpyro.infer.autoguide import AutoNormal
from scipy.special import logsumexp
from scipy.stats import norm

from ppl_ext.draws import estimate_loo
from ppl_ext.numpyro import AutoMeanField, Stochastic, fit, from_mcmc, trace_density

MARK = {"enumerate": "parallel"}


INITIAL = np.array([0.6, 0.4])
TRANSITION = np.array([[0.9, 0.1], [0.3, 0.7]])


@pytest.fixture(autouse=True)
def backend():
    """The host's own functions need it: `import pyro.contrib.gp` leaves funsor on torch."""
    funsor.set_backend("jax")


def draw_mixture(rows=100):
    rng = np.random.default_rng(1)
    second = rng.uniform(size=rows) < 0.3
    return np.where(second, rng.normal(2.0, 0.7, rows), rng.normal(-2.0, 1.0, rows))


def components():
    share = numpyro.sample("share", dist.Beta(2.0, 2.0))
    loc = numpyro.sample("loc", dist.Normal(jnp.array([-1.0, 1.0]), 2.0).to_event(1))
    scale = numpyro.sample("scale", dist.HalfNormal(jnp.ones(2)).to_event(1))
    return jnp.stack([1 - share, share]), loc, scale


def enumerated_mixture(y, mask=True):
    shares, loc, scale = components()
    with numpyro.plate("row", len(y)), handlers.mask(mask=mask):
        z = numpyro.sample("z", dist.Categorical(shares), infer=MARK)
        numpyro.deterministic("center", loc[z])
        numpyro.sample("y", dist.Normal(loc[z], scale[z]), obs=y)
    numpyro.deterministic("gap", loc[1] - loc[0])


def written_mixture(y, mask=True):
    shares, loc, scale = components()
    with numpyro.plate("row", len(y)), handlers.mask(mask=mask):
        mixed = dist.MixtureSameFamily(dist.Categorical(shares), dist.Normal(loc, scale))
        numpyro.sample("y", mixed, obs=y)


def log_p(model, z, *args):
    return trace_density(model, *args).log_p(z)


@pytest.mark.parametrize("x64", [False, True])
def test_a_mixture_is_that_of_its_distribution(x64):
    y, z = draw_mixture(), np.random.default_rng(2).normal(size=(5, 5))
    with jax.enable_x64(x64):
        found, expected = (trace_density(m, y) for m in (enumerated_mixture, written_mixture))
        np.testing.assert_allclose(found.log_p(z), expected.log_p(z), rtol=1e-12 if x64 else 1e-6)
        for ours, theirs in zip(found.log_density(z), expected.log_density(z), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-9 if x64 else 2e-3, atol=1e-3)


def test_masked_rows_count_for_nothing():
    y, z = draw_mixture(9), np.random.default_rng(2).normal(size=(5, 5))
    mask = np.arange(9) < 6
    expected = log_p(written_mixture, z, y, mask)
    np.testing.assert_allclose(log_p(enumerated_mixture, z, y, mask), expected, rtol=1e-5)
    np.testing.assert_allclose(log_p(enumerated_mixture, z, y[:6]), expected, rtol=1e-5)


@pytest.fixture(scope="module")
def fitted_mixture():
    return fit(jax.random.key(0), enumerated_mixture, draw_mixture(), climb=False, num_starts=1)


def test_draws_hold_the_assignments_given_the_rest(fitted_mixture):
    draws, y = fitted_mixture.draws(jax.random.key(1), 4000), draw_mixture()
    values = draws.values
    assert list(values) == ["share", "loc", "scale", "z", "center", "gap"]
    assert values["z"].dtype.kind == "i"
    assert values["z"].shape == (4000, 100)
    share = np.stack([1 - values["share"], values["share"]], -1)[:, None]
    joint = np.log(share) + norm.logpdf(
        y[:, None], values["loc"][:, None], values["scale"][:, None]
    )
    np.testing.assert_allclose(draws.log_likelihood["y"], logsumexp(joint, -1), atol=2e-4)
    p = np.exp(joint[..., 1] - logsumexp(joint, -1))
    # The normal limit needs some draws of either value.
    open_rows = np.minimum(p.mean(0), 1 - p.mean(0)) > 0.005
    error = ((values["z"] - p).mean(0) / np.sqrt((p * (1 - p)).mean(0) / 4000))[open_rows]
    assert np.abs(error).max() < 4
    assert (error**2).mean() < 1.6
    chosen = np.take_along_axis(values["loc"], values["z"], 1)
    np.testing.assert_array_equal(values["center"], chosen)


def test_a_fit_is_that_of_the_written_mixture(fitted_mixture):
    written = fit(jax.random.key(0), written_mixture, draw_mixture(), climb=False, num_starts=1)
    assert fitted_mixture.report().elbo == pytest.approx(written.report().elbo, abs=1e-3)
    assert fitted_mixture.report().verdict == written.report().verdict
    ours, theirs = (f.draws(jax.random.key(1), 1000) for f in (fitted_mixture, written))
    elpd = [estimate_loo(d, site="y").elpd for d in (ours, theirs)]
    assert elpd[0] == pytest.approx(elpd[1], abs=1e-2)


def test_the_tree_counts_assignments(fitted_mixture):
    tree = fitted_mixture.to_datatree(jax.random.key(1), 50, posterior_predictive=True)
    assert tree["posterior"]["z"].dims == ("chain", "draw", "row")
    assert tree["posterior"]["z"].dtype.kind == "i"
    assert tree["posterior_predictive"]["y"].shape == (1, 50, 100)


def test_predicted_data_belong_to_the_assignments(fitted_mixture):
    draws = fitted_mixture.draws(jax.random.key(3), 2000, posterior_predictive=True)
    scale = np.take_along_axis(draws.values["scale"], draws.values["z"], 1)
    noise = (draws.posterior_predictive["y"] - draws.values["center"]) / scale
    assert abs(noise.mean()) < 0.02
    assert noise.std() == pytest.approx(1.0, abs=0.02)


def test_a_guide_gives_no_value_to_what_hangs_on_assignments(fitted_mixture):
    drawn = fitted_mixture.guide.sample_posterior(jax.random.key(0), fitted_mixture.params)
    assert set(drawn) == {"share", "loc", "scale", "gap"}


def test_linear_response_keeps_the_assignments():
    y = draw_mixture()
    mean_field = fit(jax.random.key(0), enumerated_mixture, y, guide=AutoMeanField, num_starts=1)
    draws = mean_field.linear_response().draws(jax.random.key(1), 100)
    assert draws.values["z"].shape == (100, 100)


def scanned_chain(y):
    loc = numpyro.sample("loc", dist.Normal(jnp.array([-1.0, 1.0]), 1.0).to_event(1))
    z = numpyro.sample("first", dist.Categorical(jnp.asarray(INITIAL)), infer=MARK)

    def step(z, y):
        z = numpyro.sample("z", dist.Categorical(jnp.asarray(TRANSITION)[z]), infer=MARK)
        numpyro.sample("y", dist.Normal(loc[z], 1.0), obs=y)
        return z, None

    scan(step, z, y)


@config_enumerate
def looped_chain(y):
    loc = numpyro.sample("loc", dist.Normal(jnp.array([-1.0, 1.0]), 1.0).to_event(1))
    z = numpyro.sample("first", dist.Categorical(jnp.asarray(INITIAL)))
    for t in markov(range(len(y))):
        z = numpyro.sample(f"z_{t}", dist.Categorical(jnp.asarray(TRANSITION)[z]))
        numpyro.sample(f"y_{t}", dist.Normal(loc[z], 1.0), obs=y[t])


CHAIN = np.random.default_rng(3).normal(size=5)


def walk_forward(loc, y):
    """The log density of a chain by the forward algorithm, prior included."""
    alpha = np.log(INITIAL)
    for value in y:
        alpha = logsumexp(alpha[:, None] + np.log(TRANSITION), axis=0) + norm.logpdf(value, loc)
    return logsumexp(alpha) + norm.logpdf(loc, [-1, 1]).sum()


@pytest.mark.parametrize("model", [scanned_chain, looped_chain])
def test_a_chain_is_that_of_the_forward_algorithm(model):
    z = np.random.default_rng(4).normal(size=(4, 2))
    with jax.enable_x64(True):
        expected = [walk_forward(loc, CHAIN) for loc in z]
        np.testing.assert_allclose(log_p(model, z, CHAIN), expected, rtol=1e-10)


@pytest.mark.parametrize("model", [scanned_chain, looped_chain])
def test_paths_are_drawn_as_often_as_they_are_probable(model):
    draws = fit(jax.random.key(0), model, CHAIN, climb=False, num_starts=1).draws(
        jax.random.key(1), 8000
    )
    assert draws.log_likelihood == {}
    values = draws.values
    later = values["z"].T if "z" in values else [values[f"z_{t}"] for t in range(5)]
    path = np.stack([values["first"], *later], 1)
    paths = np.array(list(itertools.product([0, 1], repeat=6)))
    steps = np.log(INITIAL[paths[:, 0]]) + np.log(TRANSITION[paths[:, :-1], paths[:, 1:]]).sum(1)
    data = norm.logpdf(CHAIN, values["loc"][:, paths[:, 1:]]).sum(-1)
    p = np.exp(steps + data - logsumexp(steps + data, axis=1, keepdims=True))
    hits = (path[:, None] == paths).all(-1)
    open_paths = p.mean(0) > 0.001
    error = ((hits - p).mean(0) / np.sqrt((p * (1 - p)).mean(0) / 8000))[open_paths]
    assert np.abs(error).max() < 4.5
    assert (error**2).mean() < 1.6


def sequences(y, lengths):
    loc = numpyro.sample("loc", dist.Normal(jnp.array([-1.0, 1.0]), 1.0).to_event(1))

    def step(z, row):
        y, t = row
        with numpyro.plate("sequence", y.shape[0]), handlers.mask(mask=t < lengths):
            z = numpyro.sample("z", dist.Categorical(jnp.asarray(TRANSITION)[z]), infer=MARK)
            numpyro.sample("y", dist.Normal(loc[z], 1.0), obs=y)
        return z, None

    scan(step, jnp.zeros(len(lengths), int), (y.T, jnp.arange(y.shape[1])))


def test_sequences_end_where_their_masks_do():
    y, lengths = np.random.default_rng(5).normal(size=(3, 5)), np.array([5, 3, 1])
    z = np.random.default_rng(6).normal(size=(4, 2))
    expected = norm.logpdf(z, [-1, 1]).sum(1)
    for row, length in zip(y, lengths, strict=True):
        alpha = np.tile([0.0, -np.inf], (4, 1))
        for value in row[:length]:
            alpha = logsumexp(alpha[:, :, None] + np.log(TRANSITION), axis=1)
            alpha += norm.logpdf(value, z)
        expected += logsumexp(alpha, axis=1)
    np.testing.assert_allclose(log_p(sequences, z, y, lengths), expected, rtol=1e-5)


def unmarked(y):
    return enumerated_by({}, dist.Categorical(jnp.array([0.3, 0.7])), y)


def enumerated_by(infer, prior, y, scale=1.0):
    loc = numpyro.sample("loc", dist.Normal(0.0, 1.0))
    with handlers.scale(scale=scale):
        z = numpyro.sample("z", prior, infer=infer)
        numpyro.sample("y", dist.Normal(loc + z, 1.0), obs=y)


def moved_support(y):
    z = numpyro.sample("z", dist.Bernoulli(0.3), infer=MARK)
    loc = numpyro.sample("loc", dist.Uniform(0.0, 1.0 + z))
    numpyro.sample("y", dist.Normal(loc, 1.0), obs=y)


def nothing_left(y):
    z = numpyro.sample("z", dist.Bernoulli(0.3), infer=MARK)
    numpyro.sample("y", dist.Normal(z, 1.0), obs=y)


def no_plate(y):
    return enumerated_by(MARK, dist.Bernoulli(jnp.full(3, 0.3)), y)


def scanned_beside(y):
    outside = numpyro.sample("outside", dist.Bernoulli(0.3), infer=MARK)
    loc = numpyro.sample("loc", dist.Normal(0.0, 1.0))

    def step(z, y):
        z = numpyro.sample("z", dist.Categorical(jnp.asarray(TRANSITION)[z]), infer=MARK)
        numpyro.sample("y", dist.Normal(loc * z + outside, 1.0), obs=y)
        return z, None

    scan(step, 0, y)


REFUSED = {
    "unmarked": (unmarked, "site 'z' is discrete .* Mark it: "),
    "infinite": (lambda y: enumerated_by(MARK, dist.Poisson(3.0), y), "'z' .* no list of values"),
    "shifted": (lambda y: enumerated_by(MARK, dist.DiscreteUniform(2, 5), y), "'z' .* not 0, 1"),
    "scaled": (lambda y: enumerated_by(MARK, dist.Bernoulli(0.3), y, 0.5), "'z' is scaled"),
    "moved": (moved_support, "the support of site 'loc' .* hangs on sites that are summed out"),
    "nothing": (nothing_left, "all latent sites are summed out"),
    "no plate": (no_plate, "site 'z' has batch shape .* numpyro.plate"),
    "beside": (scanned_beside, "'y' stands inside scan and hangs on 'outside'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_sum_is_refused_by_name(case):
    model, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        trace_density(model, CHAIN[:3])


def test_without_funsor_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("ppl_ext.numpyro.tracing.refusals.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"site 'z' .*ppl-ext\[enumeration\]"):
        trace_density(enumerated_mixture, draw_mixture(4))


def test_data_that_share_a_site_are_not_left_out_one_by_one():
    draws = fit(jax.random.key(0), scanned_chain, CHAIN, climb=False, num_starts=1).draws(
        jax.random.key(1), 50
    )
    with pytest.raises(ValueError, match=r"\['y'\] have no log likelihood one by one"):
        estimate_loo(draws)


def test_minibatches_and_guides_of_the_host_sum_out_too():
    y = draw_mixture(40)

    def model(y):
        loc = numpyro.sample("loc", dist.Normal(jnp.array([-1.0, 1.0]), 2.0).to_event(1))
        with numpyro.plate("row", len(y), subsample_size=20) as rows:
            z = numpyro.sample("z", dist.Categorical(jnp.array([0.7, 0.3])), infer=MARK)
            numpyro.sample("y", dist.Normal(loc[z], 1.0), obs=y[rows])

    settings = Stochastic(max_steps=100)
    for guide in (None, AutoNormal):
        fitted = fit(jax.random.key(0), model, y, guide=guide, optimizer=settings, num_starts=1)
        draws = fitted.draws(jax.random.key(1), 100)
        assert draws.values["z"].shape == (100, 40)
        loc = draws.values["loc"][:, None]
        joint = np.log([0.7, 0.3]) + norm.logpdf(y[:, None], loc)
        np.testing.assert_allclose(draws.log_likelihood["y"], logsumexp(joint, -1), atol=1e-4)


def test_a_guide_may_draw_a_marked_site_itself():
    y = draw_mixture(10)

    def model(y):
        loc = numpyro.sample("loc", dist.Normal(jnp.array([-1.0, 1.0]), 2.0).to_event(1))
        with numpyro.plate("row", len(y)):
            z = numpyro.sample("z", dist.Categorical(jnp.array([0.7, 0.3])), infer=MARK)
            numpyro.sample("y", dist.Normal(loc[z], 1.0), obs=y)

    def guide(y):
        numpyro.sample("loc", dist.Normal(numpyro.param("loc_q", jnp.zeros(2)), 0.1).to_event(1))
        logits = numpyro.param("logits", jnp.zeros((len(y), 2)))
        with numpyro.plate("row", len(y)):
            numpyro.sample("z", dist.Categorical(logits=logits), infer={"enumerate": "parallel"})

    settings = Stochastic(max_steps=50, elbo=TraceEnum_ELBO(max_plate_nesting=1))
    fitted = fit(jax.random.key(0), model, y, guide=guide, optimizer=settings, num_starts=1)
    assert fitted.bound.sites.enumerated == ()
    assert fitted.draws(jax.random.key(1), 5).values["z"].shape == (5, 10)


def test_a_tree_of_the_hosts_chains_holds_the_summed_density():
    y = draw_mixture(20)
    mcmc = MCMC(NUTS(enumerated_mixture), num_warmup=10, num_samples=5, progress_bar=False)
    mcmc.run(jax.random.key(0), y)
    tree = from_mcmc(mcmc)
    posterior = tree["posterior"]
    shares = np.stack([1 - posterior["share"], posterior["share"]], -1)[0, :, None]
    loc, scale = (posterior[name].values[0, :, None] for name in ("loc", "scale"))
    expected = logsumexp(np.log(shares) + norm.logpdf(y[:, None], loc, scale), -1)
    np.testing.assert_allclose(tree["log_likelihood"]["y"].values[0], expected, atol=1e-4)
