"""The Gaussian guides in the host's sockets, and the host's defects that they do not share."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
import scipy.stats
from numpyro import handlers
from numpyro.infer import SVI, Predictive, Trace_ELBO, TraceMeanField_ELBO
from numpyro.infer.autoguide import AutoGuideList, AutoNormal

from ppl_ext.numpyro import AutoFullRank, AutoMeanField, trace_density
from ppl_ext.numpyro.guides.guide_call import call_guide
from ppl_ext.numpyro.tracing.bound_model import bind_model
from tests.numpyro.models import (
    ROW_DATA,
    ROWS,
    X,
    Y,
    regression,
    regression_posterior,
    row_means,
    rows,
)

GUIDES = [AutoMeanField, AutoFullRank]


def bounded():
    low = numpyro.sample("low", dist.Gamma(2.0, 1.0))
    numpyro.sample("above", dist.Uniform(low, low + 2.0))
    numpyro.sample("below", dist.TruncatedNormal(high=1.0))
    with numpyro.plate("group", 2):
        numpyro.sample("share", dist.Dirichlet(jnp.ones(3)))


def scale_for(guide, dim):
    scale = 0.1 + 0.05 * np.arange(dim)
    if isinstance(guide, AutoMeanField):
        return scale
    return np.diag(scale) + np.tril(np.full((dim, dim), 0.03), -1)


@pytest.fixture(scope="module", params=GUIDES)
def bounded_guide(request):
    guide = request.param(bounded)
    guide.setup(jax.random.key(0))
    return guide


def test_coordinates_are_those_of_the_density(bounded_guide):
    density = trace_density(bounded)
    assert bounded_guide.dim == density.dim == 7
    loc = np.linspace(-1, 1, 7, dtype=np.float32)
    params = bounded_guide.set_gaussian(loc, scale_for(bounded_guide, 7))
    back, scale = bounded_guide.gaussian(params)
    np.testing.assert_array_equal(back, loc)
    np.testing.assert_allclose(scale, scale_for(bounded_guide, 7), rtol=1e-6)
    median = bounded_guide.median(params)
    expected = density.constrain(loc[None].astype(float))
    assert list(median) == ["low", "above", "below", "share"]
    for name, value in median.items():
        np.testing.assert_allclose(value, expected[name][0], rtol=1e-5)


def test_a_run_is_the_gaussian_pushed_forward(bounded_guide):
    density = trace_density(bounded)
    params = bounded_guide.set_gaussian(np.linspace(-1, 1, 7), scale_for(bounded_guide, 7))

    @jax.jit
    @jax.vmap
    def run(rng_key):
        seeded = handlers.substitute(handlers.seed(bounded_guide, rng_key), data=params)
        trace = handlers.trace(seeded).get_trace()
        log_q = sum(
            jnp.sum(site["fn"].log_prob(site["value"], site["intermediates"]))
            if site["intermediates"]
            else jnp.sum(site["fn"].log_prob(site["value"]))
            for site in trace.values()
            if site["type"] == "sample"
        )
        values = {
            k: s["value"] for k, s in trace.items() if k in ("low", "above", "below", "share")
        }
        return values, log_q

    values, log_q = run(jax.random.split(jax.random.key(1), 4000))
    # Back to unconstrained space by hand.
    low, above = values["low"], values["above"]
    share = values["share"]
    first = share[..., 0]
    second = share[..., 1] / (1 - first)
    z = np.stack(
        [
            np.log(low),
            scipy.special.logit((above - low) / 2),
            np.log(1 - values["below"]),
            *(np.moveaxis(_unstick(first, second), -1, 0)),
        ],
        axis=1,
    )
    loc, scale = bounded_guide.gaussian(params)
    sd = scale if scale.ndim == 1 else np.linalg.norm(scale, axis=1)
    covariance = np.diag(scale**2) if scale.ndim == 1 else scale @ scale.T
    np.testing.assert_allclose(z.mean(0), loc, atol=4 * np.max(sd) / np.sqrt(4000))
    np.testing.assert_allclose(np.cov(z.T), covariance, atol=0.02)
    # Density on constrained space: log q(z) less the log-Jacobian that the model's density adds.
    log_q_z = scipy.stats.multivariate_normal(loc, covariance).logpdf(z[:50])
    log_prior = (
        scipy.stats.gamma(2).logpdf(low)
        - np.log(2)
        + scipy.stats.truncnorm(-np.inf, 1).logpdf(values["below"])
        + 2 * np.log(2)
    )[:50]
    log_jacobian = density.log_p(z[:50]) - log_prior
    np.testing.assert_allclose(log_q[:50], log_q_z - log_jacobian, atol=2e-3)
    posterior = bounded_guide.get_posterior(params)
    np.testing.assert_allclose(posterior.log_prob(jnp.asarray(z[:50])), log_q_z, atol=2e-3)


def _unstick(first, second):
    """Unconstrained coordinates of two simplices by stick breaking."""
    one = scipy.special.logit(first) + np.log(2)
    two = scipy.special.logit(second)
    return np.stack([one[:, 0], two[:, 0], one[:, 1], two[:, 1]], axis=-1)


def test_quantiles_rise_even_where_the_bijection_falls(bounded_guide):
    params = bounded_guide.set_gaussian(np.zeros(7), scale_for(bounded_guide, 7))
    quantiles = bounded_guide.quantiles(params, [0.05, 0.5, 0.95])
    sd = scale_for(bounded_guide, 7)
    sd = sd if sd.ndim == 1 else np.linalg.norm(sd, axis=1)
    expected = 1 - np.exp(-scipy.stats.norm.ppf([0.05, 0.5, 0.95]) * sd[2])
    np.testing.assert_allclose(quantiles["below"], expected, rtol=1e-5)
    expected = np.exp(scipy.stats.norm.ppf([0.05, 0.5, 0.95]) * sd[0])
    np.testing.assert_allclose(quantiles["low"], expected, rtol=1e-5)


def test_sample_posterior_shapes_and_support(bounded_guide):
    params = bounded_guide.set_gaussian(np.zeros(7), scale_for(bounded_guide, 7))
    draws = bounded_guide.sample_posterior(jax.random.key(0), params, sample_shape=(2, 5))
    assert draws["share"].shape == (2, 5, 2, 3)
    assert bool((draws["above"] > draws["low"]).all())
    single = bounded_guide.sample_posterior(jax.random.key(0), params)
    assert single["low"].shape == ()


@pytest.mark.parametrize("make", GUIDES)
def test_svi_and_predictive_of_the_host(make):
    guide = make(regression)
    svi = SVI(regression, guide, optax.adam(0.02), Trace_ELBO(num_particles=8))
    result = svi.run(jax.random.key(0), 2000, X, Y, progress_bar=False)
    mean, covariance, _ = regression_posterior()
    loc, scale = guide.gaussian(result.params)
    np.testing.assert_allclose(loc, mean, atol=0.06)
    sd = np.sqrt(np.diag(covariance))
    if make is AutoMeanField:
        sd = 1 / np.sqrt(np.diag(np.linalg.inv(covariance)))
        np.testing.assert_allclose(scale, sd, rtol=0.15)
    else:
        np.testing.assert_allclose(np.linalg.norm(scale, axis=1), sd, rtol=0.15)
    draws = Predictive(guide, params=result.params, num_samples=20)(jax.random.key(1), X, Y)
    assert draws["b"].shape == (20, 2)
    predicted = Predictive(regression, guide=guide, params=result.params, num_samples=20)(
        jax.random.key(1), X
    )
    assert predicted["y"].shape == (20, 30)
    draws = guide.sample_posterior(jax.random.key(1), result.params, sample_shape=(20,))
    np.testing.assert_allclose(
        draws["mean"],
        draws["b"] @ X[:, :2].T + draws["c"][:, None] * X[:, 2],
        rtol=1e-4,
        atol=1e-5,
    )


def test_normal_priors_meet_a_closed_form_divergence():
    def prior():
        numpyro.sample("x", dist.Normal(1.0, 2.0))

    guide = AutoMeanField(prior)
    guide.setup(jax.random.key(0))
    params = guide.set_gaussian([0.3], [0.5])
    loss = TraceMeanField_ELBO()
    losses = {float(loss.loss(jax.random.key(i), params, prior, guide)) for i in range(3)}
    kl = np.log(2 / 0.5) + (0.5**2 + 0.7**2) / (2 * 2**2) - 0.5
    assert len(losses) == 1
    assert losses.pop() == pytest.approx(kl, rel=1e-5)


@pytest.mark.parametrize("make", GUIDES)
def test_every_key_starts_elsewhere(make):
    # The host's guides keep the start of their first call (three keys, one start).
    guide = make(regression)
    svi = SVI(regression, guide, optax.adam(0.1), Trace_ELBO())
    starts = [
        guide.gaussian(svi.get_params(svi.init(jax.random.key(i), X, Y)))[0] for i in range(3)
    ]
    assert np.abs(starts[0] - starts[1]).min() > 1e-3
    assert np.abs(starts[0] - starts[2]).min() > 1e-3
    again = guide.gaussian(svi.get_params(svi.init(jax.random.key(0), X, Y)))[0]
    np.testing.assert_array_equal(again, starts[0])


@pytest.mark.parametrize("make", GUIDES)
def test_a_first_call_under_jit_leaks_nothing(make):
    guide = make(regression)
    svi = SVI(regression, guide, optax.adam(0.1), Trace_ELBO())

    @jax.jit
    def init(rng_key, x, y):
        return svi.optim.get_params(svi.init(rng_key, x, y).optim_state)

    with jax.checking_leaks():
        init(jax.random.key(0), X, Y)
    state = svi.init(jax.random.key(1), X, Y)
    state, loss = svi.update(state, X, Y)
    assert np.isfinite(loss)
    params = svi.get_params(state)
    assert list(guide.sample_posterior(jax.random.key(0), params)) == ["b", "c"]
    assert list(guide.sample_posterior(jax.random.key(0), params, X)) == ["b", "c", "mean"]


@pytest.mark.parametrize("make", GUIDES)
def test_parameters_outlive_their_guide(make):
    trained = make(regression)
    params = trained.setup(jax.random.key(0), X, Y)
    fresh = make(regression)
    with pytest.raises(RuntimeError, match=r"guide.setup\(rng_key"):
        fresh.median(params)
    fresh.setup(jax.random.key(5), X, Y)
    for name, value in trained.median(params).items():
        np.testing.assert_array_equal(fresh.median(params)[name], value)
    unpickled = pickle.loads(pickle.dumps(trained))
    np.testing.assert_array_equal(unpickled.median(params)["b"], trained.median(params)["b"])


def make_list(first, second):
    def two():
        numpyro.sample("a", dist.Normal(0, 1))
        numpyro.sample("b", dist.Normal(0, 1))

    guides = AutoGuideList(two)
    guides.append(first(handlers.block(two, hide=["b"])))
    guides.append(second(handlers.block(two, hide=["a"]), prefix="other"))
    return two, guides


@pytest.mark.parametrize(("first", "second"), [(AutoMeanField, AutoFullRank), GUIDES[:1] * 2])
def test_parts_of_a_list_are_drawn_independently(first, second):
    # AutoGuideList gives every part the same key; two of the host's guides correlate at 1.000.
    two, guides = make_list(first, second)
    svi = SVI(two, guides, optax.adam(0.05), Trace_ELBO())
    params = svi.get_params(svi.init(jax.random.key(0)))
    draws = guides.sample_posterior(jax.random.key(1), params, sample_shape=(4000,))
    assert abs(np.corrcoef(draws["a"], draws["b"])[0, 1]) < 4 / np.sqrt(4000)


def fit_rows(guide):
    svi = SVI(rows, guide, optax.adam(0.03), TraceMeanField_ELBO())
    # Sixty rows, twenty at a time: an update of each row every third step.
    return svi.run(
        jax.random.key(0), 2500, jnp.asarray(ROW_DATA), ROWS, 20, progress_bar=False
    ).params


def test_mean_field_learns_local_sites_from_minibatches():
    guide = AutoMeanField(rows)
    params = fit_rows(guide)
    median = guide.median(params)
    assert median["z"].shape == (ROWS,)
    error = np.sqrt(np.mean((median["z"] - row_means()) ** 2))
    assert error < 0.12


def test_parts_of_a_list_share_the_rows_of_a_minibatch():
    # With the host's AutoNormal the first part learns nothing here: its rows are not the model's.
    guides = AutoGuideList(rows)
    guides.append(AutoMeanField(handlers.block(rows, hide=["w"])))
    guides.append(AutoMeanField(handlers.block(rows, hide=["z"])))
    params = fit_rows(guides)
    median = guides.median(params)
    for name, truth in (("z", row_means()), ("w", -row_means())):
        assert np.sqrt(np.mean((median[name] - truth) ** 2)) < 0.12


def test_full_rank_refuses_local_sites_by_name():
    with pytest.raises(ValueError, match=r"site 'z'.*20 of its 60 rows.*AutoMeanField"):
        AutoFullRank(rows).setup(jax.random.key(0), ROW_DATA, ROWS, 20)


def test_sites_of_a_joint_guide_stand_in_their_plates():
    # Those of the host do not, and its TraceEnum_ELBO ends in a KeyError.
    guide = AutoFullRank(bounded)
    trace = handlers.trace(handlers.seed(guide, 0)).get_trace()
    assert [frame.name for frame in trace["share"]["cond_indep_stack"]] == ["group"]
    assert trace["share"]["fn"].batch_shape == (2,)


def test_scan_sites_are_followed():
    from numpyro.contrib.control_flow import scan

    def walk(y):
        def step(x, y_t):
            x = numpyro.sample("x", dist.Normal(x, 1.0))
            numpyro.sample("y", dist.Normal(x, 0.5), obs=y_t)
            return x, None

        scan(step, 0.0, y)

    y = jnp.array([0.5, 1.0, 2.0])
    guide = AutoFullRank(walk)
    svi = SVI(walk, guide, optax.adam(0.02), Trace_ELBO(num_particles=8))
    params = svi.run(jax.random.key(0), 1500, y, progress_bar=False).params
    precision = 4 * np.eye(3) + np.diag([2.0, 2.0, 1.0]) - np.eye(3, k=1) - np.eye(3, k=-1)
    np.testing.assert_allclose(
        guide.median(params)["x"], np.linalg.solve(precision, 4 * y), atol=0.08
    )


@pytest.mark.parametrize("make", GUIDES)
def test_refusals(make):
    def discrete():
        numpyro.sample("z", dist.Bernoulli(0.5))

    def nowhere(y):
        x = numpyro.sample("x", dist.Normal(0, 1))
        numpyro.sample("y", dist.Normal(x, 1), obs=y)

    name = make.__name__
    with pytest.raises(ValueError, match=f"{name}: site 'z' is discrete"):
        make(discrete).setup(jax.random.key(0))
    with pytest.raises(ValueError, match=f"{name}: none of the starting points.*site 'y' is"):
        make(nowhere).setup(jax.random.key(0), np.nan)
    with pytest.raises(ValueError, match=f"{name}: init_scale = -1"):
        make(nowhere, init_scale=-1.0)
    guide = make(nowhere)
    guide.setup(jax.random.key(0), 1.0)
    with pytest.raises(ValueError, match="loc has shape"):
        guide.set_gaussian(np.zeros(2), np.ones(1 if make is AutoMeanField else (1, 1)))


def test_a_guide_of_the_users_own_is_not_taken_for_ours():
    class Own(AutoNormal):
        settings = (1, 2)

    bound = bind_model("fit", regression, (X, Y), {})
    assert call_guide(bound, AutoMeanField(regression)).may_be_traced
    assert not call_guide(bound, Own(regression)).may_be_traced
    # Guides of ours with equal settings share programs; one that its host changes does not.
    assert call_guide(bound, AutoMeanField(regression)) == call_guide(
        bound, AutoMeanField(regression)
    )
    assert call_guide(bound, Own(regression)) != call_guide(bound, Own(regression))
    assert call_guide(bound, AutoMeanField(regression)) != call_guide(
        bound, AutoMeanField(regression, init_scale=0.2)
    )
