"""The bound of guides with discrete sites against enumeration, and what it refuses.

A z-test fails where an error exceeds 4.5 standard errors: with some 25 numbers a test, a false
alarm in 6,000 runs. The seeds are fixed.
"""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import special, stats

X = np.array([0.3, -1.2, 2.0])
CLASSES = np.arange(3.0)
PARAMS = {
    "w": np.array([-1.0, 0.0, 2.0]),
    "prior": np.array([0.1, 0.3, -0.2]),
    "a_logit": np.array(0.2),
    "z_logits": np.array([[0.1, -0.3, 0.2], [1.0, 0.0, 0.0], [0.0, 0.5, -0.5]]),
    "y_logits": np.array([0.3, -0.6, 0.4]),
    "m_loc": np.array(0.1),
}
LIMIT = 4.5


def log_bernoulli(value, logit):
    return -np.log1p(np.exp(-logit if value else logit))


def enumerate_joint(p):
    """The bound of ``joint`` below by summing over a, z and y, the Normal in closed form."""
    total = -0.5 * (p["m_loc"] ** 2 + 0.25 - 1) + np.log(0.5)  # of m
    for a in (0, 1):
        q_a = log_bernoulli(a, p["a_logit"])
        inner = stats.bernoulli.logpmf(a, 0.4) - q_a
        for row, k, y in itertools.product(range(3), range(3), (0, 1)):
            q_z = special.log_softmax(p["z_logits"][row] + 0.5 * a * CLASSES)[k]
            q_y = log_bernoulli(y, p["y_logits"][k])
            mean = p["w"][k] + 0.7 * y + 0.5 * a + p["m_loc"]
            weight = (
                special.log_softmax(p["prior"])[k]
                + log_bernoulli(y, k - 1.0)
                + stats.norm.logpdf(X[row], mean, 1)
                - 0.125
            )
            inner += np.exp(q_z + q_y) * (weight - q_z - q_y)
        total += np.exp(q_a) * inner
    return total


def enumerate_single(p, rows=(1.0, 1.0, 1.0)):
    """The bound of ``single`` below, each row with a weight."""
    q, prior = special.log_softmax(p["z_logits"], -1), special.log_softmax(p["prior"])
    weight = prior + stats.norm.logpdf(X[:, None], p["w"], 1) - q
    return (np.array(rows)[:, None] * np.exp(q) * weight).sum()


def enumerate_meeting(p):
    """The bound of ``meeting``: two rows of z, and one number that hangs on both."""
    q, total = special.log_softmax(p["z_logits"], -1), 0.0
    for i, j in itertools.product(range(3), repeat=2):
        log_q = q[0, i] + q[1, j]
        log_p = -2 * np.log(3) + stats.norm.logpdf(0.5, p["w"][i] * p["w"][j] + p["w"][i], 1)
        total += np.exp(log_q) * (log_p - log_q)
    return total


def slopes(function, params, step=1e-5):
    """Central differences."""
    found = {}
    for name, value in params.items():
        found[name] = np.zeros_like(value)
        for index in np.ndindex(value.shape):
            moved = [
                function({**params, name: value + side * step * _unit(value, index)})
                for side in (1, -1)
            ]
            found[name][index] = (moved[0] - moved[1]) / (2 * step)
    return found


def _unit(value, index):
    unit = np.zeros_like(value)
    unit[index] = 1.0
    return unit


@pytest.fixture(scope="module")
def programs(host):
    """Pairs of model and guide, their parameters read by name."""
    ppl, dist, array = host.ppl, host.dist, host.array
    one_hot = host.room.distributions.OneHotCategoricalStraightThrough
    mask = ppl.poutine.mask if host.name == "pyro" else ppl.handlers.mask
    scale = ppl.poutine.scale if host.name == "pyro" else ppl.handlers.scale

    def param(name):
        return ppl.param(name, array(PARAMS[name]))

    def joint():
        m = ppl.sample("m", dist.Normal(0.0, 1.0))
        a = ppl.sample("a", dist.Bernoulli(array(0.4)))
        with ppl.plate("row", 3):
            z = ppl.sample("z", one_hot(logits=param("prior")))
            y = ppl.sample("y", dist.Bernoulli(logits=z @ array(CLASSES - 1)))
            mean = z @ param("w") + 0.7 * y + 0.5 * a + m
            ppl.sample("x", dist.Normal(mean, 1.0), obs=array(X))

    def autoregressive():
        ppl.sample("m", dist.Normal(param("m_loc"), 0.5))
        a = ppl.sample("a", dist.Bernoulli(logits=param("a_logit")))
        with ppl.plate("row", 3):
            z = ppl.sample("z", one_hot(logits=param("z_logits") + 0.5 * a * array(CLASSES)))
            ppl.sample("y", dist.Bernoulli(logits=z @ param("y_logits")))

    def single():
        with ppl.plate("row", 3):
            z = ppl.sample("z", one_hot(logits=param("prior")))
            ppl.sample("x", dist.Normal(z @ param("w"), 1.0), obs=array(X))

    def factorised():
        with ppl.plate("row", 3):
            ppl.sample("z", one_hot(logits=param("z_logits")))

    def indexed():
        with ppl.plate("row", 3):
            z = ppl.sample("z", dist.Categorical(logits=param("prior")))
            ppl.sample("x", dist.Normal(param("w")[z], 1.0), obs=array(X))

    def indexed_guide():
        with ppl.plate("row", 3):
            ppl.sample("z", dist.Categorical(logits=param("z_logits")))

    def meeting():
        with ppl.plate("row", 2):
            z = ppl.sample("z", one_hot(logits=array(np.zeros(3))))
        w = z @ param("w")
        ppl.sample("x", dist.Normal(w[0] * w[1] + w[0], 1.0), obs=array(0.5))

    def meeting_guide():
        with ppl.plate("row", 2):
            ppl.sample("z", one_hot(logits=param("z_logits")[:2]))

    def weighed(program):
        def run():
            seen = array(np.array([True, False, True]))
            with scale(scale=2.0), mask(mask=seen):
                program()

        return run

    def without_data():
        with ppl.plate("row", 3):
            ppl.sample("z", one_hot(logits=param("prior")))

    return SimpleNamespace(
        joint=(joint, autoregressive),
        single=(single, factorised),
        indexed=(indexed, indexed_guide),
        meeting=(meeting, meeting_guide),
        weighed=(weighed(single), weighed(factorised)),
        without_data=(without_data, factorised),
    )


def estimate(host, elbo, pair, names, times):
    """Values ``[time]`` and gradients ``{name: [time, ...]}`` of the bound."""
    if host.name == "numpyro":
        import jax

        params = {name: host.array(PARAMS[name]) for name in names}
        one = jax.value_and_grad(lambda p, key: -elbo.loss(key, p, *pair))
        run = jax.jit(jax.vmap(one, (None, 0)))
        values, gradients = run(params, jax.random.split(jax.random.key(1), times))
        return np.array(values), {name: np.array(each) for name, each in gradients.items()}
    import pyro
    import torch

    values, gradients = [], {name: [] for name in names}
    pyro.set_rng_seed(1)
    with pyro.get_param_store().scope():
        for _ in range(times):
            bound = -elbo.differentiable_loss(*pair)
            values.append(bound.item())
            leaves = [pyro.param(name).unconstrained() for name in names]
            if not leaves:
                continue
            found = torch.autograd.grad(bound, leaves, allow_unused=True)
            for name, each, leaf in zip(names, found, leaves, strict=True):
                each = torch.zeros_like(leaf) if each is None else each
                gradients[name].append(each.numpy())
    return np.array(values), {name: np.array(each) for name, each in gradients.items()}


def worst_z(estimates, truth):
    """The largest error in standard errors; single precision counts as one of 1e-5."""
    error = np.abs(estimates.mean(0) - truth)
    return float(np.max(error / (estimates.std(0) / np.sqrt(len(estimates)) + 1e-5)))


def times(host, number):
    """Draws are cheap where they are compiled."""
    return number if host.name == "numpyro" else number // 40


def check(host, estimator, pair, names, truth, number):
    """Compare value and gradient of the bound with the truth in z-tests."""
    elbo = host.room.DiscreteELBO(estimator)
    values, gradients = estimate(host, elbo, pair, names, times(host, number))
    assert worst_z(values, truth(PARAMS)) < LIMIT
    exact = slopes(truth, PARAMS)
    for name in names:
        assert worst_z(gradients[name], exact[name]) < LIMIT, name


def test_joint_draws_of_an_autoregressive_guide_are_unbiased(host, programs):
    estimator = host.room.estimators.LeaveOneOut(4)
    check(host, estimator, programs.joint, tuple(PARAMS), enumerate_joint, 4000)


def test_every_element_of_a_plate_has_its_own_cost(host, programs):
    """Were the costs of all rows one sum, the others would be noise in each row's gradient."""
    elbo = host.room.DiscreteELBO(host.room.estimators.LeaveOneOut(4))
    number = times(host, 2000)
    _, found = estimate(host, elbo, programs.single, ["z_logits"], number)
    q = special.softmax(PARAMS["z_logits"], -1)
    f = stats.norm.logpdf(X[:, None], PARAMS["w"], 1)
    centred = f - (q * f).sum(-1, keepdims=True)
    # Each row by itself: q (1 - q) times the spread of f, over four draws, is about the variance.
    bound = 4 * (q * (1 - q)).max() * (q * centred**2).sum(-1).max() / 4 * 3
    assert found["z_logits"].var(0).max() < bound


@pytest.mark.parametrize("kind", ["single", "indexed"])
def test_enumerating_a_site_in_a_plate_is_exact(host, programs, kind):
    names = ("w", "prior", "z_logits")
    elbo = host.room.DiscreteELBO(host.room.estimators.LocalExpectation())
    values, gradients = estimate(host, elbo, getattr(programs, kind), names, 2)
    np.testing.assert_allclose(values, enumerate_single(PARAMS), rtol=1e-5)
    exact = slopes(enumerate_single, PARAMS)
    for name in names:
        np.testing.assert_allclose(gradients[name][1], exact[name], atol=2e-5)


def test_masks_and_scales_count(host, programs):
    def truth(p):
        return enumerate_single(p, rows=(2.0, 0.0, 2.0))

    elbo = host.room.DiscreteELBO(host.room.estimators.LocalExpectation())
    values, gradients = estimate(host, elbo, programs.weighed, ("w", "z_logits"), 1)
    np.testing.assert_allclose(values[0], truth(PARAMS), rtol=1e-5)
    exact = slopes(truth, PARAMS)
    np.testing.assert_allclose(gradients["z_logits"][0], exact["z_logits"], atol=2e-5)
    estimator = host.room.estimators.LeaveOneOut(2)
    check(host, estimator, programs.weighed, ("w", "z_logits"), truth, 2000)


@pytest.mark.parametrize("kind", ["LocalExpectation", "REBAR", "LeaveOneOut"])
def test_rows_that_meet_again_are_no_plate_of_their_own(host, programs, kind):
    estimator = getattr(host.room.estimators, kind)()
    check(host, estimator, programs.meeting, ("w", "z_logits"), enumerate_meeting, 4000)


def test_the_path_through_the_draw(host, programs):
    """ReinMax is unbiased where the function is quadratic in a single categorical."""
    estimator = host.room.estimators.ReinMax(1.0)
    names = ("w", "prior", "z_logits")
    check(host, estimator, programs.single, names, enumerate_single, 4000)


def test_the_divergence_of_categoricals_has_no_noise(host, programs):
    def truth(p):
        q = special.log_softmax(p["z_logits"], -1)
        return (np.exp(q) * (special.log_softmax(p["prior"]) - q)).sum()

    for estimator in (
        host.room.estimators.GumbelSoftmax(0.5),
        host.room.estimators.ScoreFunction(),
    ):
        elbo = host.room.DiscreteELBO(estimator)
        values, gradients = estimate(host, elbo, programs.without_data, ("prior", "z_logits"), 2)
        np.testing.assert_allclose(values, truth(PARAMS), rtol=1e-5)
        exact = slopes(truth, PARAMS)
        for name in ("prior", "z_logits"):
            np.testing.assert_allclose(gradients[name][1], exact[name], atol=2e-5)


def test_the_bound_of_two_draws_by_plate(host, programs):
    def truth(p):
        q = special.log_softmax(p["z_logits"], -1)
        weight = special.log_softmax(p["prior"]) + stats.norm.logpdf(X[:, None], p["w"], 1) - q
        pairs = np.logaddexp(weight[:, :, None], weight[:, None]) - np.log(2)
        return (np.exp(q[:, :, None] + q[:, None]) * pairs).sum()

    check(host, host.room.estimators.VIMCO(2), programs.single, ("w", "z_logits"), truth, 4000)


def test_a_subsample_is_unbiased(host):
    ppl, dist, array = host.ppl, host.dist, host.array
    one_hot = host.room.distributions.OneHotCategoricalStraightThrough

    def model():
        w = ppl.param("w", array(PARAMS["w"]))
        with ppl.plate("row", 3, subsample_size=2) as rows:
            z = ppl.sample("z", one_hot(logits=ppl.param("prior", array(PARAMS["prior"]))))
            ppl.sample("x", dist.Normal(z @ w, 1.0), obs=array(X)[rows])

    def guide():
        logits = ppl.param("z_logits", array(PARAMS["z_logits"]))
        with ppl.plate("row", 3, subsample_size=2) as rows:
            ppl.sample("z", one_hot(logits=logits[rows]))

    estimator = host.room.estimators.LeaveOneOut(2)
    check(host, estimator, (model, guide), ("w", "z_logits"), enumerate_single, 3000)


def test_misfits_are_refused(host, programs):
    estimators, elbo = host.room.estimators, host.room.DiscreteELBO
    for given, pair, message in (
        (estimators.LocalExpectation(), programs.joint, "'a'.*hangs together.*'z'.*LeaveOneOut"),
        (estimators.ReinMax(1.0), programs.indexed, "'z'.*Categorical.*numbers of classes"),
        (estimators.REBAR(), programs.indexed, "'z'.*Categorical.*numbers of classes"),
        ({"a": estimators.ReinMax(1.0)}, programs.single, "'z' has no estimator"),
        (estimators.VIMCO(2), programs.joint, "VIMCO.*stands in"),
    ):
        with pytest.raises(ValueError, match=message):
            estimate(host, elbo(given), pair, ("w",), 1)
    with pytest.raises(ValueError, match=r"px\.estimators"):
        elbo(estimators.LeaveOneOut)
    with pytest.raises(ValueError, match=r"num_particles is 0; expected"):
        elbo(estimators.LeaveOneOut(), num_particles=0)
    mixed = {
        "a": estimators.LeaveOneOut(4),
        "z": estimators.LeaveOneOut(2),
        "y": estimators.LeaveOneOut(2),
    }
    with pytest.raises(ValueError, match="numbers of draws differ"):
        estimate(host, elbo(mixed), programs.joint, ("w",), 1)


def test_fit_takes_it(host, programs):
    room = host.room
    settings = room.Stochastic(
        elbo=room.DiscreteELBO(room.estimators.LeaveOneOut(2)), max_steps=200, step_size=0.1
    )
    model, guide = programs.single
    fitted = host.random(
        room.fit, model, guide=guide, optimizer=settings, num_starts=1, progress_bar=False
    )
    draws = host.random(fitted.draws, 50)
    assert draws.values["z"].shape == (50, 3, 3)
    assert np.isfinite(draws.log_p).all()
    assert fitted.log.final_loss < -enumerate_single(PARAMS) - 0.5
