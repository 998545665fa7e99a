"""What discrete sites have an influence on, on a graph that is followed by hand."""

from itertools import permutations

import numpy as np
import pytest

from ppl_ext.estimators.influence import find_influence, order_axes

# a -> b -> c in the guide; the data x see c, y sees nothing discrete; the model's b sees a.
SOURCES = {
    ("guide", "a"): frozenset("a"),
    ("guide", "b"): frozenset("ab"),
    ("guide", "c"): frozenset("bc"),
    ("model", "a"): frozenset("a"),
    ("model", "b"): frozenset("ab"),
    ("model", "c"): frozenset("ac"),
    ("model", "x"): frozenset("c"),
    ("model", "y"): frozenset(),
}


def test_influence_goes_through_other_sites():
    parents, terms, analytic = find_influence("abc", SOURCES, {})
    assert parents == {"a": frozenset(), "b": frozenset("a"), "c": frozenset("b")}
    everything = tuple(term for term in SOURCES if term != ("model", "y"))
    assert terms["a"] == everything
    assert terms["b"] == tuple(term for term in everything if term[1] != "a")
    assert terms["c"] == (("guide", "c"), ("model", "c"), ("model", "x"))
    assert analytic == frozenset()


def test_a_mean_does_not_depend_on_the_site_itself():
    logits = {
        ("guide", "c"): frozenset("b"),
        ("model", "c"): frozenset("a"),
        ("guide", "a"): frozenset(),
        ("model", "a"): frozenset("b"),  # of a site that follows from it: no mean there
    }
    _, terms, analytic = find_influence("abc", SOURCES, logits)
    assert analytic == frozenset("c")
    assert terms["c"] == (("model", "x"),)
    assert {("guide", "c"), ("model", "c")} <= set(terms["b"])
    assert {("guide", "a"), ("model", "a")} <= set(terms["a"])


@pytest.mark.parametrize("closed", [(), (-1,), (-3,), (-1, -3), (-3, -2, -1)])
def test_axes_of_closed_plates_come_first(closed):
    """Three axes of the batch, one of variables, one of classes."""
    order, number = order_axes(5, 3, closed)
    assert sorted(order) == list(range(5))
    assert number == len(closed)
    assert {3 + dim for dim in closed} == set(order[:number])
    assert order[-2:] == [3, 4] or number == 3
    logits = np.arange(2 * 3 * 4 * 5 * 6).reshape(2, 3, 4, 5, 6)
    assert logits.transpose(order).transpose(np.argsort(order)).tolist() == logits.tolist()
    # The order in which plates are named says nothing.
    assert all(order_axes(5, 3, other) == (order, number) for other in permutations(closed))
