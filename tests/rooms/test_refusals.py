"""What ``fit`` cannot do it says by name, with the way out; nothing is changed by the attempt."""

import functools

import numpy as np
import pytest

from tests.oracles import regression


def refusal(host, model, *args, guide=None, **kwargs) -> str:
    """Fit, and return what the error says; it begins with what was called."""
    with pytest.raises(ValueError, match=r"^\w+: ") as caught:
        host.random(host.room.fit, model, *args, guide=guide, **kwargs)
    return str(caught.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_data_that_is_not_finite(host, linear, bad):
    y = regression.Y.copy()
    y[3] = bad
    assert "'y'" in refusal(host, linear.model, linear.x, y=host.array(y))


def test_a_discrete_site(host):
    def model(y):
        p = host.array([0.3, 0.7])
        z = host.ppl.sample("z", host.dist.Categorical(p))
        host.ppl.sample("y", host.dist.Normal(1.0 * z, 1.0), obs=y)

    assert "'z'" in refusal(host, model, host.array(0.5))


def test_no_latent_site(host):
    def model(y):
        host.ppl.sample("y", host.dist.Normal(0.0, 1.0), obs=y)

    assert "latent" in refusal(host, model, host.array(0.5))


def test_no_start_with_a_finite_density(host):
    def model(y):
        x = host.ppl.sample("x", host.dist.Normal(0.0, 1.0))
        host.ppl.factor("wall", -host.math.inf + 0.0 * x)
        host.ppl.sample("y", host.dist.Normal(x, 1.0), obs=y)

    assert "'wall'" in refusal(host, model, host.array(0.5))


def test_an_empty_plate(host, linear):
    message = refusal(host, linear.model, linear.x[:0], y=linear.y[:0])
    assert "'row'" in message


def test_the_guide_of_another_model(host, linear):
    def other(x, y=None):
        host.ppl.sample("slope", host.dist.Normal(0.0, 1.0))

    message = refusal(
        host, linear.model, linear.x, guide=host.room.AutoFullRank(other), y=linear.y
    )
    assert "slope" in message


def test_a_guide_by_position(host, linear):
    kind = host.room.AutoFullRank
    for wrong, line in ((kind, "guide=AutoFullRank)"), (kind(linear.model), "guide=guide)")):
        message = refusal(host, linear.model, wrong, linear.x, linear.y)
        assert "stands where the model's arguments belong" in message
        assert message.endswith(f"model, *args, {line}.")
    assert refusal(host, linear.model, None, linear.x, linear.y).endswith("model, *args).")


def test_what_is_no_optimizer(host, linear):
    message = refusal(host, linear.model, linear.x, y=linear.y, optimizer=object())
    assert "optimizer=Stochastic()" in message
    message = refusal(host, linear.model, linear.x, y=linear.y, optimizer=host.room.Stochastic)
    assert "the class Stochastic" in message


def test_the_number_of_starts(host, linear):
    assert "num_starts = 2.5" in refusal(host, linear.model, linear.x, num_starts=2.5)
    settings = host.room.Deterministic(num_starts=2)
    message = refusal(host, linear.model, linear.x, optimizer=settings, num_starts=8)
    assert "optimizer=Deterministic(num_starts=8)" in message


def test_an_argument_whose_name_fit_uses(host, linear):
    def model(x, num_starts, y=None):
        linear.model(x, y)

    message = refusal(host, model, linear.x, y=linear.y)
    assert "functools.partial" in message
    bound = functools.partial(model, num_starts=3)
    host.random(host.room.fit, bound, linear.x, y=linear.y, guide=host.room.AutoMeanField)
    host.random(host.room.fit, model, linear.x, 3, y=linear.y, guide=host.room.AutoMeanField)


def test_other_shapes_leave_the_guide_as_it_was(host):
    def model(x, y):
        slope = host.ppl.sample(
            "slope", host.dist.Normal(host.array([0.0]), 1.0).expand([x.shape[1]]).to_event(1)
        )
        host.ppl.sample("y", host.dist.Normal((x * slope).sum(-1), 1.0).to_event(1), obs=y)

    def fit(guide, columns, sign):
        return host.random(host.room.fit, model, host.array(x[:, :columns]), sign * y, guide=guide)

    x, y = np.eye(4)[:, :3] + 1.0, host.array(np.arange(4.0))
    guide = host.room.AutoMeanField(model)
    first = fit(guide, 2, 1.0)
    draws = host.random(first.draws, 100).values["slope"]
    with pytest.raises(ValueError, match=r"shape \(2,\) of site 'slope'.*\(3,\).*new guide"):
        fit(guide, 3, 1.0)
    np.testing.assert_array_equal(host.random(first.draws, 100).values["slope"], draws)
    second = fit(guide, 2, -1.0)
    assert host.random(second.draws, 100).values["slope"].mean() < 0 < draws.mean()
    np.testing.assert_array_equal(host.random(first.draws, 100).values["slope"], draws)
