"""Guides among the host's losses, lists and minibatches: every question to every row."""

from importlib import import_module

import numpy as np
import pytest

from tests.oracles import regression as truth
from tests.rooms.guide_rows import (
    ROWS,
    SITES,
    Mixed,
    Placed,
    Y,
    limit,
    rows,
    run_guide,
    to_numpy,
    train,
    two_parts,
)

CLOSED = [row for row in ROWS if row.meets_closed_forms]
LOCAL = [row for row in ROWS if row.takes_local_sites]
JOINT = [row for row in ROWS if not row.takes_local_sites]
LAYOUT = {"posterior", "sample_stats", "log_likelihood", "observed_data"}
SIZE, BATCH = 40, 10
ROW_DATA = np.linspace(-3.0, 3.0, SIZE)

pytestmark = pytest.mark.usefixtures("fresh_parameters")


@rows
@pytest.mark.parametrize("kind", ["trace", "vectorised", "mean field", "stick"])
def test_every_elbo_of_the_host_steps(host, row, kind):
    infer = host.ppl.infer
    loss = {
        "trace": infer.Trace_ELBO(),
        "vectorised": infer.Trace_ELBO(num_particles=3, vectorize_particles=True),
        "mean field": infer.TraceMeanField_ELBO(),
        "stick": host.room.StickTheLanding(),
    }[kind]
    losses = Placed(host, row.name, Mixed(host.name), Y).train(loss, 60, row.rate)
    assert np.isfinite(losses).all()
    # Not the mean: a draw near tau = 0 costs a flow thousands of nats, once in a while.
    assert np.median(losses[-20:]) < np.median(losses[:5])


@pytest.fixture(scope="module")
def regression(host):
    """The regression of ``tests.oracles.regression``, written for particles side by side."""
    ppl, dist = host.ppl, host.dist

    def model(x, y=None):
        with ppl.plate("feature", 3):
            b = ppl.sample("b", dist.Normal(0.0, truth.PRIOR_SD))
        mean = (x * b[..., None, :]).sum(-1)
        with ppl.plate("row", x.shape[0]):
            ppl.sample("y", dist.Normal(mean, truth.NOISE_SD), obs=y)

    return model


@rows
def test_svi_and_predictive_of_the_host(host, regression, row):
    placed = Placed(host, row.name, regression, truth.X, truth.Y, **row.light(host, 3))
    particles = host.ppl.infer.Trace_ELBO(num_particles=8, vectorize_particles=True)
    placed.train(particles, int(2000 * row.pace), 0.02 * row.pace)
    b = placed.sample(20_000)["b"]
    np.testing.assert_allclose(b.mean(0), truth.MEAN, atol=0.06)
    sd = truth.MEAN_FIELD_SD if row.name == "AutoMeanField" else truth.SD
    np.testing.assert_allclose(b.std(0), sd, rtol=0.15)
    known = {"params": placed.params} if host.name == "numpyro" else {}
    for parallel in (True, False):
        predictive = host.ppl.infer.Predictive(
            regression, guide=placed.guide, num_samples=200, parallel=parallel, **known
        )
        predicted = np.asarray(host.random(predictive, host.array(truth.X))["y"])
        assert predicted.shape == (200, 20)
        np.testing.assert_allclose(predicted.mean(0), truth.X @ truth.MEAN, atol=0.6)


@rows
def test_predictive_of_plates(host, row):
    placed = Placed(host, row.name, Mixed(host.name, is_proper=True), Y)
    known = {"params": placed.params} if host.name == "numpyro" else {}
    for parallel in (True, False):
        predictive = host.ppl.infer.Predictive(
            placed.model, guide=placed.guide, num_samples=5, parallel=parallel, **known
        )
        assert host.random(predictive)["y"].shape == (5, 3)


@rows
def test_svi_of_the_host_as_arviz_data(host, linear, row):
    guide = getattr(host.room, row.name)(linear.model, **row.light(host, 3))
    loss = host.room.StickTheLanding()
    run = host.run_svi(linear.model, guide, loss, 1000, linear.x, y=linear.y)
    tree = host.random(host.room.from_svi, *run, linear.x, y=linear.y, num_draws=2000)
    assert set(tree.children) >= LAYOUT
    b = tree["posterior"]["b"]
    assert b.sizes == {"chain": 1, "draw": 2000, "feature": 3}
    # Adam with a fixed step ends near the optimum, not at it.
    assert np.all(np.abs(b.mean(("chain", "draw")) - truth.MEAN) < 0.5 * truth.SD)
    assert set(tree["sample_stats"].data_vars) >= {"lp", "log_q"}
    assert tree["log_likelihood"]["y"].sizes == {"chain": 1, "draw": 2000, "row": 20}


@pytest.mark.parametrize("row", CLOSED, ids=lambda row: row.name)
def test_normal_priors_meet_a_closed_form_divergence(host, row):
    """The loss has no noise at all. Pyro's AutoNormal: a standard deviation of 1.08."""
    ppl, dist = host.ppl, host.dist

    def prior():
        ppl.sample("x", dist.Normal(host.array(np.zeros(3)), 1.0).to_event(1))
        with ppl.plate("p", 2):
            ppl.sample("z", dist.Normal(1.0, 2.0))

    placed = Placed(host, row.name, prior)
    loc, scale = np.array([0.3, -0.2, 0.1, 0.5, 2.0]), np.array([0.5, 1.0, 0.2, 0.7, 1.5])
    placed.set_gaussian(loc, scale)
    loss = ppl.infer.TraceMeanField_ELBO().loss
    known = (placed.params,) if host.name == "numpyro" else ()
    losses = {
        float(host.random(loss, *known, prior, placed.guide, seed=seed)) for seed in range(3)
    }
    mean, sd = np.array([0, 0, 0, 1, 1]), np.array([1, 1, 1, 2, 2])
    divergence = np.log(sd / scale) + (scale**2 + (loc - mean) ** 2) / (2 * sd**2) - 0.5
    assert len(losses) == 1
    assert losses.pop() == pytest.approx(divergence.sum(), rel=1e-5)


def block(host, model, *hidden):
    effects = host.ppl.poutine if host.name == "pyro" else host.ppl.handlers
    return effects.block(model, hide=list(hidden))


def make_list(host, model, parts):
    """A guide list of parts ``{hidden site: row of the guide}``."""
    guides = import_module(f"{host.name}.infer.autoguide").AutoGuideList(model)
    for number, (hidden, row) in enumerate(parts.items()):
        kind, options = getattr(host.room, row.name), row.light(host, 1)
        guides.append(kind(block(host, model, hidden), prefix=f"part{number}", **options))
    return guides


@pytest.mark.parametrize("other", ROWS, ids=lambda row: row.name)
@rows
def test_parts_of_a_list_are_drawn_independently(host, row, other):
    """NumPyro's list gives every part the same key; two of its own guides correlate at 1.000."""
    model = two_parts(host)
    guides = make_list(host, model, {"b": row, "a": other})
    losses, params = train(host, model, guides, host.ppl.infer.Trace_ELBO(), 3, 0.05)
    assert np.isfinite(losses).all()
    if host.name == "numpyro":
        key = import_module("jax").random.key(1)
        draws = to_numpy(guides.sample_posterior(key, params, sample_shape=(4000,)))
        medians = guides.median(params)
    else:
        draws, _ = run_guide(host, guides, params, 500)
        medians = guides.median()
    assert set(medians) == {"a", "b"}
    correlation = np.corrcoef(draws["a"], draws["b"])[0, 1]
    assert abs(correlation) < limit(1) / np.sqrt(len(draws["a"]))


@rows
def test_a_list_takes_parts_of_the_host(host, row):
    model, infer = Mixed(host.name, is_proper=True), import_module(f"{host.name}.infer.autoguide")
    guides = infer.AutoGuideList(model)
    kind, hidden = getattr(host.room, row.name), block(host, model, "theta", "share")
    guides.append(kind(hidden, prefix="rest", **row.light(host, 2)))
    guides.append(host.room.AutoMeanField(block(host, model, "mu", "tau", "share")))
    guides.append(infer.AutoDelta(block(host, model, "mu", "tau", "theta")))
    loss = host.ppl.infer.Trace_ELBO()
    losses, params = train(host, model, guides, loss, 3, 0.05, host.array(Y))
    assert np.isfinite(losses).all()
    assert set(guides.median(*([params] if host.name == "numpyro" else []))) == set(SITES) - {
        "below"
    }


@pytest.fixture(scope="module")
def in_minibatches(host):
    """A latent value and its mirror image for every row, rows drawn by the plate."""
    ppl, dist = host.ppl, host.dist

    def model(y):
        with ppl.plate("row", SIZE, subsample_size=BATCH) as index:
            z = ppl.sample("z", dist.Normal(0.0, 1.0))
            w = ppl.sample("w", dist.Normal(0.0, 1.0))
            ppl.sample("y", dist.Normal(z, 0.5), obs=y[index])
            ppl.sample("v", dist.Normal(w, 0.5), obs=-y[index])

    return model


def assert_rows(median):
    """The posterior of every row is a normal with mean ``y / 1.25``."""
    for name, means in (("z", ROW_DATA / 1.25), ("w", -ROW_DATA / 1.25)):
        assert median[name].shape == (SIZE,)
        assert np.sqrt(np.mean((median[name] - means) ** 2)) < 0.12


@pytest.mark.parametrize("row", LOCAL, ids=lambda row: row.name)
def test_local_sites_are_learned_from_minibatches(host, in_minibatches, row):
    placed = Placed(host, row.name, in_minibatches, ROW_DATA)
    placed.train(host.ppl.infer.TraceMeanField_ELBO(), 1500, 0.03)
    assert_rows(placed.median())
    assert placed.sample(3)["z"].shape == (3, SIZE)


@pytest.mark.parametrize("row", LOCAL, ids=lambda row: row.name)
def test_parts_of_a_list_share_the_rows_of_a_minibatch(host, in_minibatches, row):
    """With NumPyro's AutoNormal the first part learns nothing: its rows are not the model's."""
    guides = make_list(host, in_minibatches, {"w": row, "z": row})
    loss, data = host.ppl.infer.TraceMeanField_ELBO(), host.array(ROW_DATA)
    _, params = train(host, in_minibatches, guides, loss, 1500, 0.03, data)
    assert_rows(to_numpy(guides.median(*([params] if host.name == "numpyro" else []))))


@pytest.mark.parametrize("row", JOINT, ids=lambda row: row.name)
def test_joint_guides_refuse_local_sites_in_minibatches(host, in_minibatches, row):
    with pytest.raises(ValueError, match=rf"{row.name}.*'z'.*10 of.*40.*AutoMeanField"):
        Placed(host, row.name, in_minibatches, ROW_DATA)


@rows
def test_global_sites_beside_a_minibatch(host, row):
    ppl, dist = host.ppl, host.dist

    def model(y):
        loc = ppl.sample("loc", dist.Normal(0.0, 1.0))
        with ppl.plate("rows", 6, subsample_size=3) as index:
            ppl.sample("y", dist.Normal(loc, 1.0), obs=y[index])

    placed = Placed(host, row.name, model, np.ones(6), **row.light(host, 1))
    assert np.isfinite(placed.train(ppl.infer.Trace_ELBO(), 5, 0.02)).all()
