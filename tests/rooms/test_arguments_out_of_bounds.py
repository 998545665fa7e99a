"""Arguments that a distribution cannot take, where the host's formula is finite all the same."""

import numpy as np
import pytest
from scipy import stats

ZEROS = np.zeros(2)
VALID = np.array([0.2, 0.9])
INVALID = np.array([-0.1, -3.5])
UNIT = stats.norm(0.0, 1.0)


def density(host, likelihood, y, mask=None):
    """Of one site of the whole line, whose value is the argument."""

    def model(y):
        a = host.ppl.sample("a", host.dist.Normal(0.0, 1.0))
        with host.ppl.plate("row", len(y)):
            fn = likelihood(host, a)
            host.ppl.sample("y", fn if mask is None else fn.mask(host.array(mask)), obs=y)

    return host.room.trace_density(model, host.array(y))


CASES = {
    "rate of counts": (
        lambda host, a: host.dist.Poisson(a),
        ZEROS,
        lambda a: stats.poisson.logpmf(0, a) * 2,
    ),
    "shape": (
        lambda host, a: host.dist.Gamma(a, host.array(1.0)),
        np.array([0.3, 0.4]),
        lambda a: stats.gamma.logpdf(0.3, a) + stats.gamma.logpdf(0.4, a),
    ),
    "degrees of freedom of an event": (
        lambda host, a: (
            host.dist.StudentT(a * host.array([1.0, 1.0]), 0.0, 1.0).expand([2]).to_event(1)
        ),
        np.array([[0.3, 2.0]]),
        lambda a: stats.t.logpdf(0.3, a) + stats.t.logpdf(2.0, a),
    ),
    "concentrations": (
        lambda host, a: host.dist.Dirichlet(a * host.array([1.0, 1.0, 1.0])),
        np.array([[0.2, 0.3, 0.5]]),
        lambda a: stats.dirichlet.logpdf([0.2, 0.3, 0.5], 3 * [a]),
    ),
    "rates of a mixture": (
        lambda host, a: host.dist.MixtureSameFamily(
            host.dist.Categorical(host.array([0.25, 0.75])),
            host.dist.Poisson(a * host.array([1.0, 2.0])),
        ),
        ZEROS,
        lambda a: 2 * np.log(0.25 * np.exp(-a) + 0.75 * np.exp(-2 * a)),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_density_is_zero_out_of_bounds_and_the_formula_within(host, case):
    likelihood, y, formula = CASES[case]
    traced = density(host, likelihood, y)
    expected = [UNIT.logpdf(a) + formula(a) for a in VALID]
    np.testing.assert_allclose(traced.log_p(VALID[:, None]), expected, rtol=1e-5)
    assert (traced.log_p(INVALID[:, None]) == -np.inf).all()


def test_a_probability_has_two_bounds_and_room_for_rounding(host):
    traced = density(host, lambda host, a: host.dist.Bernoulli(probs=a), np.ones(3))
    found = traced.log_p(np.array([[0.5], [1.0 + 1e-6], [1.3], [-0.2]]))
    np.testing.assert_allclose(found[0], UNIT.logpdf(0.5) + 3 * np.log(0.5), rtol=1e-5)
    np.testing.assert_allclose(found[1], UNIT.logpdf(1.0), rtol=1e-4)
    assert (found[2:] == -np.inf).all()


def test_what_a_mask_hides_may_have_any_argument(host):
    seen = np.array([True, False])
    traced = density(
        host, lambda host, a: host.dist.Poisson(a * host.array([1.0, -1.0])), ZEROS, seen
    )
    np.testing.assert_allclose(traced.log_p([[0.7]])[0], UNIT.logpdf(0.7) - 0.7, rtol=1e-5)


def test_sites_that_are_summed_out(host):
    def model(y):
        a = host.ppl.sample("a", host.dist.Normal(0.0, 1.0))
        with host.ppl.plate("row", len(y)):
            z = host.ppl.sample(
                "z", host.dist.Bernoulli(host.array(0.3)), infer={"enumerate": "parallel"}
            )
            host.ppl.sample("y", host.dist.Poisson(a + z), obs=y)

    traced = host.room.trace_density(model, host.array(ZEROS))
    found = traced.log_p(np.array([[0.4], [-0.5], [-1.5]]))
    mixed = 0.7 * np.exp(-0.4) + 0.3 * np.exp(-1.4)
    np.testing.assert_allclose(found[0], UNIT.logpdf(0.4) + 2 * np.log(mixed), rtol=1e-5)
    # Of the two components one has a rate that it can take.
    np.testing.assert_allclose(found[1], UNIT.logpdf(0.5) + 2 * np.log(0.3 * np.exp(-0.5)), 1e-5)
    assert found[2] == -np.inf


def test_the_argument_is_named(host):
    traced = density(host, lambda host, a: host.dist.Poisson(a), ZEROS)
    assert "rate" in traced.explain(np.array([-2.0]))
    assert traced.explain(np.array([2.0])) == ""


def test_a_class_that_there_is_not(host):
    def model(y):
        a = host.ppl.sample("a", host.dist.Normal(0.0, 1.0))
        with host.ppl.plate("row", len(y)):
            host.ppl.sample(
                "y", host.dist.Categorical(logits=a * host.array([0.0, 1.0, 2.0])), obs=y
            )

    with pytest.raises(ValueError, match=r"(?s)fit: .*'y'"):
        host.random(host.room.fit, model, host.array([0, 1, 3]), progress_bar=False)
