"""What a newcomer gets wrong about the discrete family is refused in four parts."""

import numpy as np
import pytest


def first_of_each(z):
    return z[..., 0].sum(-1)


def test_schedule_in_place_of_its_value(host):
    schedule = host.room.distributions.ExponentialTemperature()
    with pytest.raises(ValueError, match=r"temperature is Exp.*expected.*schedule\(step\)"):
        host.room.distributions.RelaxedOneHotCategorical(schedule, logits=host.array(np.zeros(3)))


def test_logits_as_a_list(host):
    categorical = host.room.distributions.OneHotCategoricalStraightThrough(logits=[0.0, 1, 2])
    assert categorical.event_shape == (3,)


@pytest.mark.parametrize("as_what", [lambda kind: kind, lambda kind: kind.__name__])
def test_class_or_name_in_place_of_an_estimator(host, as_what):
    given = as_what(host.room.estimators.LeaveOneOut)
    logits = host.array(np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"estimate_gradient: the estimator is .*expected"):
        host.random(host.room.estimators.estimate_gradient, first_of_each, logits, given)
    with pytest.raises(ValueError, match=r"compare_estimators: the estimator is .*expected"):
        host.random(host.room.estimators.compare_estimators, first_of_each, logits, [given])


def test_one_estimator_in_place_of_a_list(host):
    with pytest.raises(ValueError, match=r"expected a list.*\[LeaveOneOut\(num_draws=4\)\]"):
        host.random(
            host.room.estimators.compare_estimators,
            first_of_each,
            host.array(np.zeros((2, 3))),
            host.room.estimators.LeaveOneOut(4),
        )


def test_list_of_another_length(host):
    ranks = host.room.distributions.PlackettLuce(host.array(np.zeros(4)), k=2)
    with host.ppl.validation_enabled(), pytest.raises(ValueError, match=r"value .*shape.*3"):
        ranks.log_prob(host.array(np.array([0, 1, 2])))
