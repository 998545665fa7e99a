"""Local sites in plates inside and around the encoded one: a Gaussian model in closed form."""

import numpy as np
import pytest
from scipy import stats

from tests.rooms.amortized_programs import Fitted, estimate_loss, linear_encoder, to_numpy

pytestmark = pytest.mark.usefixtures("fresh_parameters")

ROWS, INNER, EVENT = 4, 3, 2
DIM = 1 + INNER * EVENT
SPREAD, NOISE = 0.7, 0.4


def draw_data():
    """One number of each row, and of each of its replicates a vector."""
    rng = np.random.default_rng(0)
    u = rng.normal(size=ROWS)
    v = u[:, None, None] + SPREAD * rng.normal(size=(ROWS, INNER, EVENT))
    return u + NOISE * rng.normal(size=ROWS), v + NOISE * rng.normal(size=v.shape)


def solve():
    """Matrix from the data of a row to its posterior mean, covariance, and log evidence."""
    prior = np.ones((DIM, DIM))
    prior[1:, 1:] += SPREAD**2 * np.eye(DIM - 1)
    marginal = prior + NOISE**2 * np.eye(DIM)
    gain = prior @ np.linalg.inv(marginal)
    x, y = draw_data()
    seen = np.column_stack([x, y.reshape(ROWS, -1)])
    evidence = stats.multivariate_normal(np.zeros(DIM), marginal).logpdf(seen)
    return gain, prior - gain @ prior, seen @ gain.T, evidence


def exact_encoder(host):
    gain, covariance, _, _ = solve()
    tril = np.linalg.cholesky(covariance)
    outputs = 2 * DIM + DIM * (DIM - 1) // 2
    weight, bias = np.zeros((DIM, outputs)), np.zeros(outputs)
    weight[:, :DIM] = gain.T
    bias[DIM : 2 * DIM] = np.log(np.expm1(np.diag(tril)))
    bias[2 * DIM :] = tril[np.tril_indices(DIM, -1)]
    return linear_encoder(host, weight, bias)


class Nested:
    """Rows with a level each, and replicates that are positive and scatter around it.

    Args:
        host: The host.
        inside: Whether the replicates are to the right of the rows, or to the left.
        shown: Rows and replicates that a step draws; None for all.
    """

    def __init__(self, host, inside, shown=(None, None)):
        self.host, self.inside = host, inside
        self.dims = (-2, -1) if inside else (-1, -2)
        self.shown = shown

    def __call__(self, x, y):
        host, (row_dim, inner_dim) = self.host, self.dims
        ppl, dist = host.ppl, host.dist
        size = y.shape[1] if self.inside else y.shape[0]
        rows = ppl.plate("rows", len(x), subsample_size=self.shown[0], dim=row_dim)
        inner = ppl.plate("replicates", size, subsample_size=self.shown[1], dim=inner_dim)
        with rows as i:
            u = ppl.sample("u", dist.Normal(0.0, 1.0))
            seen = x[i][:, None] if self.inside else x[i]
            ppl.sample("x", dist.Normal(u, NOISE), obs=seen)
            with inner as j:
                center = u[..., None] + host.array(np.zeros(EVENT))
                v = ppl.sample("v", dist.LogNormal(center, SPREAD).to_event(1))
                seen = y[i][:, j] if self.inside else y[j][:, i]
                mean = host.math.log(v)
                ppl.sample("y", dist.Normal(mean, NOISE).to_event(1), obs=seen)

    def data(self):
        x, y = draw_data()
        return self.host.array(x), self.host.array(y if self.inside else np.swapaxes(y, 0, 1))


@pytest.fixture(scope="module", params=[True, False], ids=["inside", "around"])
def model(request, host):
    return Nested(host, request.param)


@pytest.fixture(scope="module")
def exact(model, host):
    """A guide that knows the answer, set up."""
    guide = host.room.AutoAmortized(model, plate="rows", encoder=exact_encoder(host))
    params = host.random(guide.setup, *model.data())
    return Fitted(host, model, guide, params if host.name == "numpyro" else None)


@pytest.mark.parametrize("vectorized", [False, True])
def test_the_bound_of_the_exact_posterior_is_the_evidence(exact, host, vectorized):
    evidence, loss = solve()[3].sum(), host.ppl.infer.Trace_ELBO
    loss = loss(num_particles=2, vectorize_particles=vectorized)
    call = exact.model, exact.guide, *exact.model.data()
    if host.name == "numpyro":
        found = -estimate_loss(host, loss, *exact.state, *call)
    else:
        found = -host.random(loss.loss, *call)
    assert found == pytest.approx(evidence, rel=1e-5)


def test_draws_and_medians_stand_where_their_plates_have_them(exact, host):
    data, mean = exact.model.data(), solve()[2]
    u, v = mean[:, 0], np.exp(mean[:, 1:]).reshape(ROWS, INNER, EVENT)
    expected = {"u": u[:, None], "v": v} if exact.model.inside else {"u": u}
    expected.setdefault("v", np.swapaxes(v, 0, 1))
    median = exact.median(*data)
    draws = exact.sample((5, 300), *data)
    for name, value in expected.items():
        np.testing.assert_allclose(median[name], value, rtol=1e-4, atol=1e-5)
        assert draws[name].shape == (5, 300, *value.shape)
        middle = np.median(draws[name], (0, 1))
        np.testing.assert_allclose(middle, value, rtol=0.15, atol=0.15)


def test_a_row_is_refined_with_all_that_belongs_to_it(exact, host):
    data, options = exact.model.data(), {"max_steps": 5, "num_draws": 20}
    found = host.random(exact.guide.refine, *exact.state, *data, **options)
    np.testing.assert_allclose(found.gap.after, solve()[3], atol=1e-3)
    np.testing.assert_allclose(found.gap.before, solve()[3], atol=1e-3)


def test_a_minibatch_of_rows_has_all_their_replicates(host, model):
    """Rows count N / B times, and replicates once."""
    few = Nested(host, model.inside, shown=(2, None))
    guide = host.room.AutoAmortized(few, plate="rows", encoder=exact_encoder(host))
    handlers = host.ppl.poutine if host.name == "pyro" else host.ppl.handlers
    params = host.random(guide.setup, *few.data())
    seeded = guide if host.name == "pyro" else handlers.seed(guide, 1)
    trace = handlers.trace(seeded).get_trace(*few.data())
    sites = getattr(trace, "nodes", trace)
    shape = (2, INNER, EVENT) if model.inside else (INNER, 2, EVENT)
    assert tuple(sites["v"]["value"].shape) == shape
    assert [float(sites[name]["scale"]) for name in ("u", "v")] == [ROWS / 2] * 2
    # Drawn or not, every row is worth its evidence.
    rows = to_numpy(sites["rows"]["value"])
    bound = elbo_of(host, few, guide, params, trace)
    assert bound == pytest.approx(ROWS / 2 * solve()[3][rows].sum(), rel=1e-5)


def elbo_of(host, model, guide, params, trace):
    """The bound of a guide's draw."""
    handlers = host.ppl.poutine if host.name == "pyro" else host.ppl.handlers
    replayed = handlers.replay(model, trace)
    replayed = replayed if host.name == "pyro" else handlers.seed(replayed, 2)
    run = handlers.trace(replayed).get_trace(*model.data())
    if host.name == "pyro":
        return float(to_numpy(run.log_prob_sum() - trace.log_prob_sum()))
    total = 0.0
    for sign, each in ((1, run), (-1, trace)):
        for site in each.values():
            if site["type"] == "sample":
                scale = 1.0 if site["scale"] is None else site["scale"]
                total += sign * float((scale * site["fn"].log_prob(site["value"])).sum())
    return total


def test_what_is_not_followed_is_refused_by_name(host, model):
    drawn = Nested(host, model.inside, shown=(None, 2))
    with pytest.raises(ValueError, match="in plate 'replicates', which draws 2 of its 3 rows"):
        host.random(host.room.AutoAmortized(drawn, plate="rows").setup, *drawn.data())
    with pytest.raises(ValueError, match=r"\['replicates', 'rows'\] have both.*plate='rows'"):
        host.random(host.room.AutoAmortized(model).setup, *model.data())


def test_rows_that_have_grown_are_refused(exact, host):
    x, y = exact.model.data()
    fewer = y[:, :2] if exact.model.inside else y[:2]
    with pytest.raises(ValueError, match=r"row of site 'v' has shape \(2, 2\), and had \(3, 2"):
        exact.median(x, fewer)
