"""The bound of guides with discrete sites against enumeration, and what it refuses."""

import numpy as np
import pytest
from scipy import special, stats

from tests.oracles.discrete_bounds import (
    PARAMS,
    X,
    enumerate_joint,
    enumerate_meeting,
    enumerate_pairs,
    enumerate_single,
    slopes,
)
from tests.rooms.discrete_programs import check, estimate, make_programs, times


@pytest.fixture(scope="module")
def programs(host):
    return make_programs(host)


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
    names, estimator = ("w", "z_logits"), host.room.estimators.VIMCO(2)
    check(host, estimator, programs.single, names, enumerate_pairs, 4000)


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
