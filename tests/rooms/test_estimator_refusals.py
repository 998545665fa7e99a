"""What estimators refuse: each by name, with what was expected and the way out."""

import numpy as np
import pytest

from tests.rooms.estimator_rows import PATHS, square


@pytest.mark.parametrize(
    ("name", "parameters", "shape", "word"),
    [
        ("LeaveOneOut", {"num_draws": 1}, None, "num_draws is 1"),
        ("VIMCO", {"num_draws": 1}, None, "num_draws is 1"),
        ("ScoreFunction", {"num_draws": 0}, None, "num_draws is 0"),
        ("ScoreFunction", {"num_draws": 1.5}, None, "num_draws is 1.5"),
        ("LeaveOneOut", {"num_draws": "4"}, None, "num_draws is '4'"),
        ("GumbelRao", {"num_draws": 2.5}, None, "num_draws is 2.5"),
        ("ScoreFunction", {"baseline": [1.0, 2.0]}, (3, 2), "baseline has the shape"),
        ("ARM", {}, (2, 3), "3 classes"),
        ("DisARM", {}, (2, 3), "3 classes"),
        ("REBAR", {"temperature": 0.0}, None, "temperature is 0.0"),
        ("REBAR", {"temperature": [0.5, 0.6]}, (3, 2), r"temperature has the shape \(2,\)"),
        ("ReinMax", {"temperature": [1.0, 1.1]}, None, r"temperature has the shape \(2,\)"),
        ("GumbelSoftmax", {"temperature": "warm"}, None, "temperature is 'warm'"),
        ("RELAX", {"control": square, "temperature": -1.0}, None, "temperature is -1.0"),
        ("RELAX", {"control": lambda x: x}, (2, 3), "control returned the shape"),
    ],
)
def test_refusals(host, estimators, run, name, parameters, shape, word):
    def attempt(*key):
        given = {
            key: host.array(np.array(value)) if isinstance(value, list) else value
            for key, value in parameters.items()
        }
        estimator = getattr(estimators, name)(**given)
        logits = host.array(np.zeros(shape))
        estimator.surrogate(*key, lambda z: z[..., 0].sum(-1), logits)

    with pytest.raises(ValueError, match=word) as refusal:
        run(attempt)
    assert "expected" in str(refusal.value)
    assert str(refusal.value).startswith(f"{name}: ")


def test_shapes_are_named(host, estimators, run):
    def attempt(*arguments):
        *key, logits = arguments
        return estimators.LeaveOneOut(4).surrogate(*key, lambda z: z.sum(-1), logits)

    with pytest.raises(ValueError, match=r"shape \(4, 5, 2\).*expected.*\(4, 5\)"):
        run(attempt, host.array(np.zeros((5, 2, 3))))


def test_values_of_logits(host, estimators):
    """They are looked at where nothing is traced."""
    for logits in ([[0.0, np.nan]], [[-np.inf, -np.inf]]):
        arguments = host.array(np.array(logits)), estimators.LeaveOneOut()
        with (
            host.ppl.validation_enabled(),
            pytest.raises(ValueError, match="estimate_gradient"),
        ):
            host.random(estimators.estimate_gradient, lambda z: z[..., 0, 0], *arguments)


def test_what_estimates_are_made_of(host, estimators):
    """A function and logits in each other's place, and numbers of estimates below one."""

    def first(z):
        return z[..., 0, 0]

    logits, reinmax = host.array(np.zeros((2, 3))), estimators.ReinMax()
    for called, arguments, word in (
        ("estimate_gradient", (logits, first, reinmax), "f is of type"),
        ("estimate_gradient", (first, logits, reinmax, 0), "num_draws is 0"),
        ("second_moment", (first, logits, estimators.REBAR(), -1), "num_draws is -1"),
        ("second_moment", (first, logits, estimators.REBAR), "the estimator is"),
        ("compare_estimators", (first, logits, [reinmax], 0), "num_draws is 0"),
    ):
        with pytest.raises(ValueError, match=f"^{called}: {word}.*expected"):
            host.random(getattr(estimators, called), *arguments)


@pytest.mark.parametrize(
    ("name", "arguments", "word"),
    [
        *(
            (name, {"temperature": bad}, "temperature is")
            for name in sorted({row.name for row in PATHS} - {"StraightThrough"})
            for bad in (0.0, -1.0, np.nan)
        ),
        ("GumbelRao", {"num_draws": 0}, "num_draws is 0"),
        ("ReinMaxRao", {"num_draws": 0}, "num_draws is 0"),
        ("GappedStraightThrough", {"gap": -1.0}, "gap is -1.0"),
    ],
)
def test_settings_of_path_estimators(host, name, arguments, word):
    with pytest.raises(ValueError, match=f"{name}: {word}.*expected"):
        getattr(host.room.estimators, name)(**arguments)


@pytest.mark.parametrize("name", sorted({row.name for row in PATHS}))
def test_draws_from_integer_logits(host, name):
    logits = host.math.asarray(np.array([1, 2]))
    estimator = next(row for row in PATHS if row.name == name).make(host)
    with pytest.raises(ValueError, match=f"{name}: logits are of type"):
        host.random(estimator.sample, logits)
