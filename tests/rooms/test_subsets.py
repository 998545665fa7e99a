"""Draws without replacement and relaxed subsets against enumeration."""

from collections import Counter

import numpy as np
import pytest

from tests.oracles.discrete import LOGITS, MASKED
from tests.oracles.discrete_laws import enumerate_lists
from tests.rooms.drawing import build

WIDE = np.array([0.3, -1.2, 2.0, 0.0, -30.0])


@pytest.mark.parametrize(("logits", "k"), [(WIDE, 2), (WIDE, 5), (MASKED, 2), (LOGITS, 1)])
def test_probabilities(host, logits, k):
    ranks = build(host, "PlackettLuce", logits=logits, k=k)
    lists = enumerate_lists(logits, k)
    values = host.array(np.array(list(lists)))
    np.testing.assert_allclose(ranks.log_prob(values), np.log(list(lists.values())), rtol=1e-5)
    sets, among = Counter(), np.zeros(len(logits))
    for order, probability in lists.items():
        sets[frozenset(order)] += probability
        among[list(order)] += probability
    truth = np.log([sets[frozenset(order)] for order in lists])
    np.testing.assert_allclose(ranks.log_prob_unordered(values), truth, rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(ranks.inclusion_probs, among, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("value", [[0, 0], [0, 4], [-1, 0]])
def test_what_is_no_list_of_classes(host, value):
    ranks = build(host, "PlackettLuce", logits=LOGITS, k=2)
    if host.name == "pyro":
        with pytest.raises(ValueError, match="support"):
            ranks.log_prob(host.array(value))
    else:
        with pytest.warns(UserWarning, match="Out-of-support"):
            assert float(ranks.log_prob(host.array(value))) == -np.inf


def test_a_class_that_is_ruled_out_has_no_probability(host):
    ranks = build(host, "PlackettLuce", logits=MASKED, k=2)
    value = host.array([0, 1])
    assert float(ranks.log_prob(value)) == -np.inf
    assert float(ranks.log_prob_unordered(value)) == -np.inf


@pytest.mark.parametrize("k", [0, 4, 2.0, True])
def test_sizes_that_are_refused(host, k):
    px = host.room.distributions
    with pytest.raises(ValueError, match="relaxed_top_k: k is"):
        host.random(px.relaxed_top_k, host.array(MASKED), k, 0.5)


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.nan])
def test_temperatures_that_are_refused(host, temperature):
    px = host.room.distributions
    with pytest.raises(ValueError, match="temperature is"):
        host.random(px.relaxed_top_k, host.array(LOGITS), 2, temperature)


@pytest.mark.parametrize("temperature", [0.01, 0.5])
def test_relaxed_subsets(host, temperature):
    px = host.room.distributions
    logits, draws = host.array(MASKED), 10_000
    soft = host.random(px.relaxed_top_k, logits, 2, temperature, (draws,))
    soft = np.asarray(soft)
    np.testing.assert_allclose(soft.sum(-1), 2.0, rtol=1e-5)
    assert (soft[:, 1] == 0).all()
    hard = np.asarray(host.random(px.relaxed_top_k, logits, 2, temperature, (draws,), hard=True))
    assert set(np.unique(hard)) == {0.0, 1.0}
    truth = np.asarray(px.PlackettLuce(logits, 2).inclusion_probs)
    error = np.sqrt(truth * (1 - truth) / draws)
    assert (np.abs(hard.mean(0) - truth) <= 4.5 * error + 1e-6).all()
    if temperature < 0.1:
        assert np.abs(soft - hard).max(-1).mean() < 0.02
