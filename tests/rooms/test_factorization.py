"""Factorization as a program of the host: the host's ELBO is the closed form's, term by term."""

from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest

from ppl_ext.factorization import (
    ARD,
    Fixed,
    FullCovariance,
    Isotropic,
    MatrixFactorization,
    Noise,
    begin_factors,
    measure_bound,
    simulate_ratings,
)
from ppl_ext.factorization.result.prediction import measure_ratings
from tests.rooms.drawing import kl_divergence

RATINGS = simulate_ratings(num_users=25, num_items=15, density=0.4, seed=1).ratings
EQUAL = Noise(0.5, by_user=False, by_item=False)
SETTINGS = {
    "fixed": {"user_prior": Fixed(0.5), "item_prior": Fixed(0.4), "biases": False, "noise": EQUAL},
    "isotropic": {"user_prior": Isotropic(), "item_prior": Isotropic(), "noise": EQUAL},
    "ard": {"user_prior": ARD(), "item_prior": ARD(), "noise": Noise(by_item=False)},
    "full": {},
    "diagonal": {"diagonal": True, "item_prior": FullCovariance(5), "noise": Noise(by_user=False)},
    "features": {},
}
# Each z-test below is false at most once in 15,000 runs; seeds are fixed.
FAR = 4.0
PARTICLES = 1000
LATENT = {
    f"{side}_{kind}" for side in ("user", "item") for kind in ("vector", "weight", "regression")
}
SITES = LATENT | {"rating"}
RNG = np.random.default_rng(7)
ITEM_FEATURES = {"item_features": RNG.normal(size=(15, 2))}
FEATURES = {
    "isotropic": ITEM_FEATURES,
    "ard": ITEM_FEATURES,
    "features": {**ITEM_FEATURES, "user_features": RNG.normal(1.0, 3.0, size=(25, 3))},
}


def make_settings(name="full", **changes):
    shared = {"num_factors": 2, "dtype": np.float64, "num_threads": 1, "max_sweeps": 8}
    return MatrixFactorization(**{**shared, **SETTINGS[name], **changes})


FITTED = {}


def fit(name="full"):
    if name not in FITTED:
        features = FEATURES.get(name, {})
        FITTED[name] = make_settings(name).fit(RATINGS, **features, progress_bar=False)
    return FITTED[name]


def features_of(factors):
    """Those that factors of this module were fitted with."""
    sides = {"user": factors.users, "item": factors.items}
    return {
        f"{name}_features": FEATURES["features"][f"{name}_features"]
        for name, side in sides.items()
        if side.regression is not None
    }


def measure(factors):
    return measure_bound(factors, RATINGS, **features_of(factors))


def build(host, factors, **settings):
    part = host.room.factorization
    features = features_of(factors)
    model = part.FactorModel(factors, **settings, **features)
    guide = part.FactorGuide(factors, **features)
    if host.name == "pyro":
        host.ppl.clear_param_store()
    return model, guide, model.columns(RATINGS)


@pytest.fixture(autouse=True)
def empty_store(host):
    yield
    if host.name == "pyro":
        host.ppl.clear_param_store()


def run_particles(host, model, guide, columns, **settings):
    """Run guide and model many times: {site: (log p - log q [particle], KL(q || p) [particle])}.

    With features the prior of the vectors, and their KL, depend on the coefficients drawn. That of
    the coefficients themselves is not asked: the hosts have none for all of their shapes.
    """
    if host.name == "pyro":
        poutine = host.ppl.poutine
        with host.math.no_grad():
            many = host.ppl.plate("particle", PARTICLES, dim=-2)
            drawn = host.random(poutine.trace(many(guide)).get_trace, *columns)
            many = host.ppl.plate("particle", PARTICLES, dim=-2)
            replayed = poutine.trace(poutine.replay(many(model), trace=drawn))
            trace = replayed.get_trace(*columns, **settings)
            trace.compute_log_prob()
            drawn.compute_log_prob()
            found = {}
            for name in trace.nodes.keys() & SITES:
                site, own = trace.nodes[name], drawn.nodes.get(name)
                log_ratio, divergence = site["log_prob"], None
                if own is not None:
                    log_ratio = log_ratio - own["log_prob"]
                    if not name.endswith("regression"):
                        each = kl_divergence(host, own["fn"], site["fn"])
                        divergence = each.reshape(PARTICLES, -1).sum(-1)
                log_ratio = np.asarray(log_ratio.reshape(PARTICLES, -1).sum(-1), dtype=float)
                found[name] = SimpleNamespace(log_ratio=log_ratio, divergence=divergence)
        return found
    jax, handlers = import_module("jax"), host.ppl.handlers

    def run(key):
        guide_key, model_key = jax.random.split(key)
        drawn = handlers.trace(handlers.seed(guide, guide_key)).get_trace(*columns)
        seeded = handlers.seed(handlers.replay(model, drawn), model_key)
        trace = handlers.trace(seeded).get_trace(*columns, **settings)
        log_ratios, divergences = {}, {}
        for name in trace.keys() & SITES:
            site, own = trace[name], drawn.get(name)
            scale = 1.0 if site.get("scale") is None else site["scale"]
            log_ratios[name] = scale * site["fn"].log_prob(site["value"]).sum()
            if own is not None:
                log_ratios[name] -= own["fn"].log_prob(own["value"]).sum()
                if not name.endswith("regression"):
                    each = host.dist.kl_divergence(own["fn"], site["fn"])
                    divergences[name] = each.sum()
        return log_ratios, divergences

    found = jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(0), PARTICLES))
    log_ratios, divergences = jax.tree.map(lambda each: np.asarray(each, dtype=float), found)
    return {
        name: SimpleNamespace(log_ratio=log_ratio, divergence=divergences.get(name))
        for name, log_ratio in log_ratios.items()
    }


def mean_loss(host, model, guide, columns, particles=PARTICLES, **settings):
    """The host's own Trace_ELBO."""
    if host.name == "pyro":
        loss = host.ppl.infer.Trace_ELBO(particles, max_plate_nesting=1, vectorize_particles=True)
        return host.random(loss.loss, model, guide, *columns, **settings)
    jax = import_module("jax")
    params = host.room.factorization.CAVI(make_settings()).get_params(guide.factors)
    loss = host.ppl.infer.Trace_ELBO(particles).loss
    run = jax.jit(lambda key, params: loss(key, params, model, guide, *columns, **settings))
    return float(run(jax.random.key(1), params))


def params_of(host, fitted):
    """What the guide's methods take before all else."""
    return () if host.name == "pyro" else (fitted[1].params,)


# With features there is all that there is without.
@pytest.mark.parametrize("name", [name for name in SETTINGS if name != "full"])
def test_elbo_term_by_term(host, name):
    factors = fit(name)
    bound = measure(factors)
    model, guide, columns = build(host, factors)
    sites = run_particles(host, model, guide, columns)
    # The expectation over ratings is estimated, the divergences have a closed form.
    likelihood = sites["rating"].log_ratio
    error = likelihood.std() / np.sqrt(PARTICLES)
    assert abs(likelihood.mean() - bound.likelihood) < FAR * error
    terms = {
        "user_vector": bound.user_divergence,
        "item_vector": bound.item_divergence,
        "user_weight": bound.user_weight_divergence,
        "item_weight": bound.item_weight_divergence,
        "user_regression": bound.user_coefficient_divergence,
        "item_regression": bound.item_coefficient_divergence,
    }
    assert {site for site in sites if site != "rating"} == {
        site for site, term in terms.items() if term
    }
    for site, term in terms.items():
        if site in sites:
            if (each := sites[site].divergence) is not None:
                # The hosts' Gamma loses the digits of log-gamma functions that nearly cancel.
                error = 2e-2 + 1e-3 * term + FAR * each.std() / np.sqrt(PARTICLES)
                assert abs(each.mean() - term) < error
            error = sites[site].log_ratio.std() / np.sqrt(PARTICLES)
            assert abs(sites[site].log_ratio.mean() + term) < FAR * error


def test_host_elbo_is_the_closed_form(host):
    factors = fit("features")
    model, guide, columns = build(host, factors)
    loss = mean_loss(host, model, guide, columns)
    # The log ratio of this fit has a standard deviation of 4.1 nats.
    assert abs(loss + measure(factors).total) < FAR * 4.1 / np.sqrt(PARTICLES)


def test_subsampled_ratings_are_scaled(host):
    factors = fit("fixed")
    model, guide, columns = build(host, factors)
    sites = run_particles(host, model, guide, columns, batch_size=40)
    if host.name == "pyro":  # one batch for all particles: the scale is what can be seen
        sites |= {"rating": SimpleNamespace(log_ratio=sample_batches(host, model, guide, columns))}
    likelihood = sites["rating"].log_ratio
    error = likelihood.std() / np.sqrt(len(likelihood))
    truth = measure(factors).likelihood
    assert abs(likelihood.mean() - truth) < FAR * error
    assert error < 0.05 * abs(truth)


def sample_batches(host, model, guide, columns):
    """Log-likelihoods of batches, one after the other."""
    poutine = host.ppl.poutine

    def run():
        with host.math.no_grad():
            drawn = poutine.trace(guide).get_trace()
            replayed = poutine.trace(poutine.replay(model, trace=drawn))
            trace = replayed.get_trace(*columns, batch_size=40)
        assert len(trace.nodes["rating"]["value"]) == 40
        return float(trace.log_prob_sum(lambda name, _: name == "rating"))

    return np.array([host.random(run, seed=seed) for seed in range(60)])


def test_parameters_go_there_and_back(host):
    for name in ("full", "diagonal", "features"):
        factors = fit(name)
        _, guide, _ = build(host, factors)
        params = host.room.factorization.CAVI(make_settings(name)).get_params(factors)
        again = guide.to_factors(*([] if host.name == "pyro" else [params]), ratings=RATINGS)
        np.testing.assert_allclose(again.users.means(), factors.users.means(), atol=1e-5)
        np.testing.assert_allclose(
            again.items.covariances(), factors.items.covariances(), atol=1e-5
        )
        np.testing.assert_allclose(again.items.weights, factors.items.weights, rtol=1e-5)
        truth = measure(factors).total
        assert again.elbo[-1] == pytest.approx(truth, abs=2e-3)


@pytest.fixture(scope="module")
def continued(host):
    """SVI that starts before any sweep, prior and noise learned too."""
    start = begin_factors(make_settings("ard"), RATINGS, **ITEM_FEATURES)
    model, guide, columns = build(host, start, learn=True)
    loss = host.ppl.infer.Trace_ELBO()
    fitted = host.run_svi(model, guide, loss, 100, *columns)
    params = params_of(host, fitted)
    factors = guide.to_factors(*params, ratings=RATINGS)
    tree = host.random(guide.to_datatree, *params, num_draws=400)
    return SimpleNamespace(
        start=start, model=model, guide=guide, columns=columns, fitted=fitted, factors=factors,
        tree=tree,
    )  # fmt: skip


def test_svi_goes_on_from_factors(host, continued):
    before = measure(continued.start).total
    assert continued.factors.elbo[-1] > before + 5
    assert continued.factors.noise_precision != continued.start.noise_precision
    assert continued.factors.users.concentration != continued.start.users.concentration
    assert continued.factors.users.regression is continued.start.users.regression is None
    after, first = (each.items.regression for each in (continued.factors, continued.start))
    for name in ("coefficients", "covariance", "relevance"):
        assert abs(getattr(after, name) - getattr(first, name)).max() > 0.01
    # No guide of this family is better than coordinate ascent to the end without penalties.
    closed = make_settings("ard", max_sweeps=400, tolerance=1e-9).fit(
        RATINGS, start=continued.factors, **ITEM_FEATURES, progress_bar=False
    )
    assert measure(closed).total > continued.factors.elbo[-1] - 5
    assert (np.diff(closed.elbo[1:]) > -1e-8).all()


def test_tree_of_the_guide_is_that_of_its_factors(host, continued):
    theirs, ours = continued.tree["posterior"], continued.factors.to_datatree(400)["posterior"]
    assert set(theirs.data_vars) == set(ours.data_vars)
    for name in ours.data_vars:
        assert theirs[name].dims == ours[name].dims
        gap = theirs[name].mean(("chain", "draw")) - ours[name].mean(("chain", "draw"))
        error = ours[name].std(("chain", "draw")) * np.sqrt(2 / 400)
        assert float(abs(gap / error).max()) < 5  # 200 comparisons
    for name in ours.coords:
        np.testing.assert_array_equal(theirs[name], ours[name])


def test_predictive(host, continued):
    users, items, _ = continued.columns
    chosen = users[:30], items[:30]
    if host.name == "pyro":
        # The store of the fit is gone: take the factors that it was turned into.
        model, guide, _ = build(host, continued.factors)
        predictive = host.ppl.infer.Predictive(model, guide=guide, num_samples=1000, parallel=True)
    else:
        predictive = host.ppl.infer.Predictive(
            continued.model, guide=continued.guide, params=continued.fitted[1].params,
            num_samples=1000,
        )  # fmt: skip
    draws = host.random(predictive, *chosen)
    assert draws["rating"].shape == (1000, 30)
    effects = np.asarray(draws["item_coefficients"], dtype=float).reshape(1000, 2, 2)
    truth = continued.factors.items.regression.coefficients[:, :2]
    assert (np.abs(effects.mean(0) - truth) < 5 * effects.std(0) / np.sqrt(1000)).all()
    expected = np.asarray(draws["expected_rating"], dtype=float)
    mean, variance = measure_ratings(
        continued.factors.posterior, np.asarray(chosen[0]), np.asarray(chosen[1])
    )
    assert (np.abs(expected.mean(0) - mean) < 5 * np.sqrt(variance / 1000)).all()
    np.testing.assert_allclose(expected.std(0), np.sqrt(variance), rtol=0.25)


def test_ascent_is_called_as_an_svi(host):
    settings = make_settings(max_sweeps=200, tolerance=0)
    given = FEATURES["features"]
    cavi = host.room.factorization.CAVI(settings)
    state = host.random(cavi.init, RATINGS, **given)
    means = state.users.means()
    later, loss = cavi.update(state, RATINGS, **given)
    np.testing.assert_array_equal(state.users.means(), means)
    assert later.sweeps == 2
    assert loss == -later.elbo[-1] < -state.elbo[-1]
    result = host.random(cavi.run, 6, RATINGS, **given, progress_bar=False)
    once = state
    for step in range(1, 6):
        once, loss = cavi.update(once, RATINGS, **given)
        assert loss == pytest.approx(float(result.losses[step]), rel=1e-6)
    np.testing.assert_allclose(result.state.users.means(), once.users.means(), rtol=1e-9)
    resumed = host.random(cavi.run, 4, RATINGS, **given, progress_bar=False, init_state=later)
    assert resumed.state.elbo[-1] == pytest.approx(once.elbo[-1], rel=1e-9)
    assert len(resumed.losses) == 4
    np.testing.assert_allclose(
        np.asarray(result.params["user_loc"]), once.users.means(), rtol=1e-4, atol=1e-5
    )
    assert cavi.evaluate(once, RATINGS, **given) == -measure(once).total


def test_refusals(host):
    factors = fit("fixed")
    part = host.room.factorization
    model, guide, (users, items, values) = build(host, factors)
    with pytest.raises(ValueError, match=r"items lie between 1 and 15; expected .* 0 to 14"):
        host.trace(model, users, items + 1, values)
    with pytest.raises(ValueError, match=r"users are .*float32.*columns"):
        host.trace(model, host.array([0.0]), items[:1], values[:1])
    wanted = RATINGS.select(np.arange(3))
    with pytest.raises(KeyError, match="user 53 is unknown"):
        model.columns(replace(wanted, user_ids=np.arange(77 - 24, 78)))
    for made in (part.FactorModel, part.FactorGuide):
        with pytest.raises(ValueError, match=f"{made.__name__}: .* users depends on 3 features"):
            made(fit("features"), **ITEM_FEATURES)
        with pytest.raises(ValueError, match=r"item_features is given, and .* without"):
            made(factors, **ITEM_FEATURES)
    params = part.CAVI(make_settings()).get_params(fit("full"))
    if host.name == "pyro":
        host.ppl.param("user_loc", params["user_loc"])
        with pytest.raises(ValueError, match=r"store has 'user_loc' of shape \(25, 3\)"):
            guide()
    else:
        with pytest.raises(ValueError, match=r"'user_loc' has the shape \(25, 3\)"):
            guide.to_factors(params)


@pytest.mark.parametrize("name", ["FactorModel", "FactorGuide"])
def test_what_are_no_factors_is_refused_by_name(host, name):
    ratings = simulate_ratings(num_users=10, num_items=8, seed=0).ratings
    with pytest.raises(TypeError, match=f"{name}: got a Ratings; expected factors"):
        getattr(host.room.factorization, name)(ratings)
