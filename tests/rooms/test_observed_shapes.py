"""Data of another shape than the model's are refused by name; the hosts' idioms stay allowed."""

import numpy as np
import pytest

ROWS = 60
Y = np.random.default_rng(3).normal(1.0, 1.0, ROWS)
LEAST = 1.0 / np.sqrt(ROWS)  # standard deviation of the mean of ROWS unit normals


def fit(host, model, *args, **kwargs):
    return host.random(host.room.fit, model, *args, climb=False, progress_bar=False, **kwargs)


def in_a_plate(host, size=ROWS):
    def model(y):
        mu = host.ppl.sample("mu", host.dist.Normal(0.0, 100.0))
        with host.ppl.plate("row", size):
            host.ppl.sample("y", host.dist.Normal(mu, 1.0), obs=y)

    return model


def with_means(host):
    def model(y):
        mu = host.ppl.sample("mu", host.dist.Normal(0.0, 100.0))
        host.ppl.sample("y", host.dist.Normal(mu + host.math.zeros(ROWS), 1.0), obs=y)

    return model


@pytest.mark.parametrize("make", [in_a_plate, with_means])
@pytest.mark.parametrize(
    ("shape", "cure"),
    [((ROWS, 1), r"y\.squeeze\(-1\)"), ((1,), r"Give 'y' that shape"), ((), "Repeat it")],
)
def test_what_would_broadcast_is_refused(host, make, shape, cure):
    y = host.array(np.resize(Y, shape))
    words = (
        rf"(?s)fit: observed site 'y' has shape {re_shape(shape)}; expected \({ROWS},\).*Normal"
    )
    with pytest.raises(ValueError, match=f"{words}.*{cure}.*to_event"):
        fit(host, make(host), y)
    with pytest.raises(ValueError, match=f"trace_density: observed site 'y'.*{cure}"):
        host.room.trace_density(make(host), y)


@pytest.mark.parametrize(
    ("shape", "cure"), [((1, ROWS), r"y\.squeeze\(-2\)"), ((3, ROWS), "Give 'y' that shape")]
)
def test_an_axis_without_a_plate_is_refused_inside_one(host, shape, cure):
    words = rf"(?s)observed site 'y' has shape {re_shape(shape)}.*plate 'row' of size {ROWS}"
    with pytest.raises(ValueError, match=f"{words}.*{cure}"):
        fit(host, in_a_plate(host), host.array(np.resize(Y, shape)))


def test_one_row_for_a_plate_of_many_is_refused(host):
    with pytest.raises(ValueError, match=r"'y' has shape \(1,\); expected \(5,\)"):
        fit(host, in_a_plate(host, 5), host.array([0.3]))


def test_another_event_is_refused(host):
    def model(y):
        mu = host.ppl.sample("mu", host.dist.Normal(0.0, 100.0))
        mean = mu + host.math.zeros(3)
        host.ppl.sample("y", host.dist.Normal(mean, 1.0).to_event(1), obs=y)

    with pytest.raises(ValueError, match=r"'y' has shape \(1,\); expected \(3,\)"):
        fit(host, model, host.array([0.3]))


def idioms(host):
    """Models of a mean of unit normals, as the hosts' users write them."""
    ppl, dist, math = host.ppl, host.dist, host.math

    def mean():
        return ppl.sample("mu", dist.Normal(0.0, 100.0))

    def scalar_without_plate(y):
        ppl.sample("y", dist.Normal(mean(), 1.0), obs=y)

    def means_without_plate(y):
        ppl.sample("y", dist.Normal(mean() + math.zeros(ROWS), 1.0), obs=y)

    def event(y):
        ppl.sample("y", dist.Normal(mean() + math.zeros(ROWS), 1.0).to_event(1), obs=y)

    def plate_of_events(y):
        mu = mean()
        with ppl.plate("row", ROWS // 2):
            ppl.sample("y", dist.Normal(mu + math.zeros(2), 1.0).to_event(1), obs=y)

    def expanded(y):
        mu = mean()
        with ppl.plate("row", ROWS):
            ppl.sample("y", dist.Normal(mu, 1.0).expand([ROWS]), obs=y)

    return {
        "plate": (in_a_plate(host), Y),
        "scalar": (scalar_without_plate, Y),
        "scalar of a matrix": (scalar_without_plate, Y.reshape(-1, 2)),
        "means": (means_without_plate, Y),
        "one event": (event, Y),
        "plate of events": (plate_of_events, Y.reshape(-1, 2)),
        "expanded": (expanded, Y),
    }


@pytest.mark.parametrize(
    "name",
    [
        "plate",
        "scalar",
        "scalar of a matrix",
        "means",
        "one event",
        "plate of events",
        "expanded",
    ],
)
def test_what_the_hosts_mean_is_scored_once(host, name):
    model, y = idioms(host)[name]
    density = host.room.trace_density(model, host.array(y))
    z = np.array([[0.0], [1.0], [2.0]])
    log_p = density.log_p(z)
    curvature = log_p[0] - 2 * log_p[1] + log_p[2]
    assert -curvature == pytest.approx(ROWS + 1e-4, rel=1e-3)


def test_the_fit_of_a_column_taken_apart_is_right(host):
    fitted = fit(host, in_a_plate(host), host.array(Y[:, None].squeeze(-1)))
    draws = host.random(fitted.draws, 4000).values["mu"]
    assert draws.std() == pytest.approx(LEAST, rel=0.1)


def test_a_guide_that_draws_another_shape_is_refused(host):
    def model(y):
        with host.ppl.plate("row", 4):
            x = host.ppl.sample("x", host.dist.Normal(0.0, 1.0))
            host.ppl.sample("y", host.dist.Normal(x, 1.0), obs=y)

    def guide(y):
        loc = host.ppl.param("loc", host.math.zeros(1))
        host.ppl.sample("x", host.dist.Normal(loc, 1.0))

    words = r"(?s)site 'x' with shape \(1,\); expected \(4,\).*plates"
    with pytest.raises(ValueError, match=words):
        fit(host, model, host.array(np.zeros(4)), guide=guide)


def re_shape(shape) -> str:
    """A shape as a regular expression."""
    return str(shape).replace("(", r"\(").replace(")", r"\)")
