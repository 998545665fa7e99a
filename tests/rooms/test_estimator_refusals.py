"""What estimators refuse: each by name, with what was expected and the way out."""

import numpy as np
import pytest


def square(x):
    """A control variate that is right nowhere."""
    return (x**2)[..., 0].sum(-1)


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
        ("MovingAverage", {"decay": 1.0}, None, "decay is 1.0"),
        ("MovingAverage", {"decay": 2}, None, "decay is 2"),
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


@pytest.mark.parametrize(
    ("f", "logits", "word"),
    [
        (lambda z: z.sum(-1), np.zeros((5, 2, 3)), r"shape \(4, 5, 2\).*expected.*\(4, 5\)"),
        (lambda z: z.sum(), np.zeros((2, 3)), r"shape \(\)"),
        (lambda z: z, np.zeros(3), r"f\(z\).sum\(-1\)"),
        (lambda z: z[..., 0, 0], np.zeros((2, 3), dtype=int), "floating-point"),
        (lambda z: z[..., 0, 0], np.array(0.5), "classes along the last axis"),
    ],
)
def test_usual_mistakes(host, estimators, run, f, logits, word):
    def attempt(*arguments):
        *key, logits = arguments
        return estimators.LeaveOneOut(4).surrogate(*key, f, logits)

    with pytest.raises(ValueError, match=word):
        run(attempt, host.array(logits))


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


def test_an_empty_batch_is_no_mistake(host, estimators):
    logits = host.array(np.zeros((0, 2, 3)))
    for estimator in (estimators.LocalExpectation(), estimators.LeaveOneOut()):
        estimates = host.random(
            estimators.estimate_gradient, lambda z: z[..., 0].sum(-1), logits, estimator
        )
        assert tuple(estimates.gradient.shape) == (1, 0, 2, 3)
