"""``AutoAmortized`` against closed forms: the linear Gaussian model, and means of minibatches."""

import numpy as np
import pytest

from tests.rooms.amortized_programs import (
    DIM,
    Fitted,
    draw_linear,
    elbo,
    exact_encoder,
    linear_encoder,
    linear_model,
    solve_linear,
    to_numpy,
    train,
)

pytestmark = pytest.mark.usefixtures("fresh_parameters")

SIZE, BATCH = 100, 10


def test_the_bound_of_the_exact_posterior_is_the_evidence(host):
    x = draw_linear()
    guide = host.room.AutoAmortized(linear_model(host), encoder=exact_encoder(host))
    found = elbo(host, linear_model(host), guide, host.array(x))
    # One draw is enough: the bound has no variance there.
    assert found == pytest.approx(solve_linear(x)[2], rel=1e-5)


def test_a_short_training_comes_to_the_exact_posterior(host):
    x = draw_linear()
    start = linear_encoder(host, np.zeros((3, 5)), np.zeros(5))
    guide = host.room.AutoAmortized(linear_model(host), encoder=start)
    fitted = train(host, linear_model(host), guide, 300, host.array(x), rate=0.1, particles=10)
    loc, scale = fitted.posterior(host.array(x))
    mean, covariance, _ = solve_linear(x)
    precision, away = np.linalg.inv(covariance), loc - mean
    gap = np.einsum("ij,nji->n", precision, scale) - DIM - np.linalg.slogdet(scale)[1]
    gap += np.linalg.slogdet(covariance)[1] + np.einsum("ni,ij,nj->n", away, precision, away)
    assert (gap / 2).mean() < 0.01  # nats for each row


def minibatch_model(host):
    """Two independent local sites, as in the hosts' silent errors, and one that all rows share."""
    ppl, dist = host.ppl, host.dist

    def model(x, y, size=BATCH):
        scale = ppl.sample("scale", dist.LogNormal(0.0, 0.1))
        with ppl.plate("rows", len(x), subsample_size=size) as rows:
            u = ppl.sample("u", dist.Normal(0.0, 3.0))
            v = ppl.sample("v", dist.Normal(0.0, 3.0))
            ppl.sample("x", dist.Normal(u, 0.5), obs=x[rows])
            ppl.sample("y", dist.Normal(v, 0.5 * scale), obs=y[rows])

    return model


def draw_pairs(size=SIZE):
    x = np.linspace(-3.0, 3.0, size)
    return x, x[np.random.default_rng(0).permutation(size)]


@pytest.fixture(scope="module")
def fitted(host):
    model = minibatch_model(host)
    guide = host.room.AutoAmortized(model, local="mean_field", shared="full_rank")
    data = map(host.array, draw_pairs())
    return train(host, model, guide, 1000, *data, rate=0.02, particles=4)


def test_minibatches_find_the_local_means(fitted, host):
    x, y = draw_pairs()
    median = fitted.median(host.array(x), host.array(y))
    shrink = 9.0 / 9.25
    assert np.sqrt(np.mean((median["u"] - shrink * x) ** 2)) <= 0.06
    # How far y is drawn in hangs on the scale, by less than a hundredth.
    assert np.sqrt(np.mean((median["v"] - shrink * y) ** 2)) <= 0.08
    assert median["scale"].shape == ()


def test_new_data_have_any_number_of_rows(fitted, host):
    x, y = (host.array(each) for each in draw_pairs(37))
    median, draws = fitted.median(x, y), fitted.sample((50, 4), x, y)
    assert {name: each.shape for name, each in draws.items()} == {
        "scale": (50, 4), "u": (50, 4, 37), "v": (50, 4, 37)
    }  # fmt: skip
    assert (draws["scale"] > 0).all()
    spread = 6 * 0.5 / np.sqrt(200)
    assert np.abs(draws["u"].mean((0, 1)) - median["u"]).max() < spread
    u, v = draws["u"] - median["u"], draws["v"] - median["v"]
    assert abs(np.corrcoef(u.ravel(), v.ravel())[0, 1]) < 0.06  # 7400 independent pairs


def test_a_step_sees_one_draw_of_rows(host):
    """Rows of guide and model are the same, and count N / B times."""
    model = minibatch_model(host)
    x, y = (host.array(each) for each in draw_pairs())
    guide = host.room.AutoAmortized(model)
    handlers = host.ppl.poutine if host.name == "pyro" else host.ppl.handlers
    seeded = guide if host.name == "pyro" else handlers.seed(guide, 1)
    drawn = handlers.trace(seeded).get_trace(x, y)
    replayed = handlers.replay(model, drawn)
    replayed = replayed if host.name == "pyro" else handlers.seed(replayed, 2)
    run = handlers.trace(replayed).get_trace(x, y)
    sites, of_guide = getattr(run, "nodes", run), getattr(drawn, "nodes", drawn)
    rows = to_numpy(of_guide["rows"]["value"])
    assert len(set(rows.tolist())) == BATCH
    np.testing.assert_array_equal(to_numpy(sites["rows"]["value"]), rows)
    np.testing.assert_array_equal(to_numpy(sites["x"]["value"]), to_numpy(x)[rows])
    np.testing.assert_array_equal(to_numpy(sites["u"]["value"]), to_numpy(of_guide["u"]["value"]))
    assert [float(of_guide[name]["scale"]) for name in ("u", "v")] == [SIZE / BATCH] * 2


def test_predictive_takes_the_guide(fitted, host):
    x, y = (host.array(each) for each in draw_pairs(12))
    infer, model = host.ppl.infer, fitted.model
    if host.name == "pyro":
        found = host.random(infer.Predictive(model, guide=fitted.guide, num_samples=5), x, y, None)
    else:
        predictive = infer.Predictive(
            model, guide=fitted.guide, params=fitted.state[0], num_samples=5
        )
        found = host.random(predictive, x, y, None)
    assert {found[name].shape[-1] for name in ("x", "y")} == {12}


def test_features_and_the_bare_rows_are_read_alike(host):
    """A function of the arguments gives all rows; the guide takes those of the minibatch."""
    x = host.array(draw_linear())
    model = linear_model(host, size=5)
    options = {"encoder": exact_encoder(host)}
    read = host.room.AutoAmortized(model, **options)
    given = host.room.AutoAmortized(model, features=lambda x: x, **options)
    assert elbo(host, model, read, x) == pytest.approx(elbo(host, model, given, x), rel=1e-6)


def local_kl(host, prior, encoder, particles):
    """What the host's ELBO makes of the divergence of two rows: no observed site counts."""
    ppl, loss = host.ppl, host.ppl.infer.TraceMeanField_ELBO
    handlers = ppl.poutine if host.name == "pyro" else ppl.handlers

    def model(x):
        with ppl.plate("rows", len(x)):
            z = ppl.sample("z", prior)
            ppl.sample("x", host.dist.Normal(z, 1.0), obs=x)

    x = host.array([0.5, 2.0])
    guide = host.room.AutoAmortized(model, encoder=encoder, local="mean_field")
    params = host.random(guide.setup, x)
    params = (params,) if host.name == "numpyro" else ()
    loss = loss(num_particles=particles, vectorize_particles=True).loss
    hidden = handlers.block(model, hide=["x"])
    return float(host.random(loss, *params, hidden, guide, x))


def test_the_host_finds_the_divergence_in_closed_form(host):
    """Of a real site exactly, from one draw; of a positive one without bias."""
    weight, bias = [[0.5, -0.3]], [0.1, 0.4]
    encoded = np.array([[0.5], [2.0]]) @ weight + bias
    loc, scale = encoded[:, 0], np.log1p(np.exp(encoded[:, 1]))
    exact = (0.5 * (loc**2 + scale**2 - 1) - np.log(scale)).sum()
    encoder = linear_encoder(host, weight, bias)
    found = local_kl(host, host.dist.Normal(0.0, 1.0), encoder, particles=1)
    assert found == pytest.approx(exact, rel=1e-5)
    found = local_kl(host, host.dist.LogNormal(0.0, 1.0), encoder, particles=4000)
    assert found == pytest.approx(exact, abs=0.06)


def masked_model(host):
    ppl, dist = host.ppl, host.dist
    handlers = ppl.poutine if host.name == "pyro" else ppl.handlers

    def model(x, there):
        with ppl.plate("rows", len(x)) as rows:
            z = ppl.sample("z", dist.Normal(0.0, 1.0))
            with handlers.mask(mask=there[rows]):
                ppl.sample("x", dist.Normal(z, 1.0), obs=x[rows])

    return model


def test_what_is_masked_is_hidden_from_the_encoder(host):
    model = masked_model(host)
    there = host.array(np.arange(8) % 2 == 0)
    weight, bias = [[0.5, 0.0], [0.0, 0.3]], [0.0, 0.2]
    guide = host.room.AutoAmortized(model, encoder=linear_encoder(host, weight, bias))
    x = np.ones(8)
    x[1::2] = 1e6
    params = host.random(guide.setup, host.array(x), there)
    loc, _ = Fitted(host, model, guide, params if host.name == "numpyro" else None).posterior(
        host.array(x), there
    )
    np.testing.assert_allclose(loc[:, 0], [0.5, 0.0] * 4, atol=1e-6)


def first_call(host, model, *args, **options):
    host.random(host.room.AutoAmortized(model, **options).setup, *args)


def test_what_cannot_be_followed_is_refused_by_name(host):
    ppl, dist = host.ppl, host.dist
    x = host.array(draw_linear())
    wrong = linear_encoder(host, np.zeros((3, 4)), np.zeros(4))
    guide = host.room.AutoAmortized(linear_model(host), encoder=wrong)
    with pytest.raises(ValueError, match=r"shape \(20, 4\).*expected \(20, 5\): 2 locations"):
        elbo(host, linear_model(host), guide, x)
    with pytest.raises(ValueError, match="plate 'rows' draws 21 of 20 rows"):
        first_call(host, linear_model(host, size=21), x)
    holed = draw_linear()
    holed[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"'x'"):
        first_call(host, linear_model(host, size=5), host.array(holed))
    gives = host.array(holed)
    guide = host.room.AutoAmortized(linear_model(host), features=lambda x: gives)
    with pytest.raises(ValueError, match="features= gave 1 values that are not finite"):
        elbo(host, linear_model(host), guide, x)

    def no_local(x):
        mean = ppl.sample("mean", dist.Normal(0.0, 1.0))
        with ppl.plate("rows", len(x)):
            ppl.sample("x", dist.Normal(mean, 1.0), obs=x)

    def loose(x):
        with ppl.plate("rows", len(x), dim=-2):
            z = ppl.sample("z", dist.Normal(host.array(np.zeros(3)), 1.0))
            ppl.sample("x", dist.Normal(z, 1.0), obs=x)

    def masked(x):
        handlers = ppl.poutine if host.name == "pyro" else ppl.handlers
        with ppl.plate("rows", len(x)), handlers.mask(mask=x > 0):
            z = ppl.sample("z", dist.Normal(0.0, 1.0))
            ppl.sample("x", dist.Normal(z, 1.0), obs=x)

    def imputed(x):
        with ppl.plate("rows", len(x)):
            z = ppl.sample("z", dist.Normal(0.0, 1.0))
            ppl.sample("x", dist.Normal(z, 1.0), obs=x, obs_mask=x > 0)

    def moving(x):
        with ppl.plate("rows", len(x)):
            top = ppl.sample("top", dist.LogNormal(0.0, 1.0))
            z = ppl.sample("z", dist.Uniform(0.0, top))
            ppl.sample("x", dist.Normal(z, 1.0), obs=x)

    def enumerated(x):
        with ppl.plate("rows", len(x)):
            c = ppl.sample("c", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})
            z = ppl.sample("z", dist.Normal(0.0, 1.0))
            ppl.sample("x", dist.Normal(z + c, 1.0), obs=x)

    with pytest.raises(ValueError, match="no plate has both latent and observed sites"):
        first_call(host, no_local, x[:, 0])
    with pytest.raises(ValueError, match="plate 'rows' has no latent site"):
        first_call(host, no_local, x[:, 0], plate="rows")
    with pytest.raises(ValueError, match=r"site 'z' .* in batch dimensions without a plate"):
        first_call(host, loose, x)
    with pytest.raises(ValueError, match="latent site 'z' is masked"):
        first_call(host, masked, x[:, 0])
    with pytest.raises(ValueError, match="latent site 'x_unobserved' is masked"):
        first_call(host, imputed, x[:, 0])
    with pytest.raises(ValueError, match="support of site 'z' depends on other sites"):
        first_call(host, moving, x[:, 0])
    with pytest.raises(ValueError, match="'c' is enumerated"):
        first_call(host, enumerated, x[:, 0])
    with pytest.raises(
        ValueError, match="local='diagonal'; expected 'mean_field', 'full_rank' or"
    ):
        host.room.AutoAmortized(no_local, local="diagonal")
    with pytest.raises(ValueError, match="encoder is a function; expected a"):
        host.room.AutoAmortized(no_local, encoder=no_local)
    with pytest.raises(RuntimeError, match="has not seen the model yet"):
        Fitted(host, None, host.room.AutoAmortized(no_local), {}).guide.shared_posterior(
            *([{}] if host.name == "numpyro" else [])
        )
