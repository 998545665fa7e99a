"""Flows by themselves: against quadrature, closed forms and automatic differentiation."""

import copy
import math
import pickle
import subprocess
import sys

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy import stats

from ppl_ext.pyro.flows import AutoregressiveFlow, CouplingFlow, FlowDistribution

KINDS = [CouplingFlow, AutoregressiveFlow]
CASES = [(kind, transform) for kind in KINDS for transform in ("spline", "affine")]
each = pytest.mark.parametrize(
    ("kind", "transform"), CASES, ids=lambda value: getattr(value, "__name__", value)
)


def bent(kind, *args, spread=0.1, **options):
    """A flow with random parameters, far from the identity, in double precision."""
    torch.manual_seed(0)
    flow = kind(*args, **options).double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(spread * torch.randn_like(parameter))
    return flow


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        yield


@each
@pytest.mark.parametrize("dim", [1, 2, 5])
@pytest.mark.parametrize("context_dim", [0, 3])
def test_both_directions_and_the_determinant(kind, transform, dim, context_dim):
    flow = bent(kind, dim, context_dim, transform=transform, hidden=(16, 16))
    context = torch.randn(7, context_dim, dtype=torch.double) if context_dim else None
    e = 2 * torch.randn(7, dim, dtype=torch.double)
    x, log_slope = flow.push(e, context)
    back, same = flow.pull(x, context)
    torch.testing.assert_close(back, e, atol=1e-7, rtol=1e-6)
    torch.testing.assert_close(same, log_slope, atol=1e-6, rtol=1e-6)
    for row in range(7):
        given = None if context is None else context[row]
        jacobian = torch.autograd.functional.jacobian(
            lambda point, given=given: flow.push(point, given)[0], e[row]
        )
        assert log_slope[row].item() == pytest.approx(
            torch.linalg.slogdet(jacobian)[1].item(), abs=1e-6
        )
    assert not torch.allclose(x, e, atol=0.1)


@each
def test_the_density_integrates_to_one(kind, transform):
    line = torch.linspace(-20, 20, 4001, dtype=torch.double)[:, None]
    one = bent(kind, 1, transform=transform, num_layers=2)()
    with torch.no_grad():
        assert one.log_prob(line).exp().sum() * 0.01 == pytest.approx(1, abs=1e-3)
        axis = torch.linspace(-9, 9, 201, dtype=torch.double)
        grid = torch.cartesian_prod(axis, axis)
        two = bent(kind, 2, transform=transform, num_layers=2, hidden=(16, 16))()
        assert two.log_prob(grid).exp().sum() * 0.09**2 == pytest.approx(1, abs=2e-3)


@each
@pytest.mark.parametrize("dim", [1, 4])
def test_the_start_is_the_identity(kind, transform, dim):
    flow = kind(dim, context_dim=2, transform=transform)
    e, context = 4 * torch.randn(50, dim), torch.randn(50, 2)
    x, log_slope = flow.push(e, context)
    torch.testing.assert_close(x, e, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(log_slope, torch.zeros(50), atol=2e-5, rtol=0)
    normal = stats.multivariate_normal(np.zeros(dim)).logpdf(x.detach().numpy())
    np.testing.assert_allclose(
        flow(context).log_prob(x).detach().numpy(), normal, rtol=1e-4, atol=1e-4
    )


@each
@pytest.mark.parametrize("dim", [1, 2])
def test_extremes_stay_finite(kind, transform, dim):
    flow = bent(kind, dim, transform=transform).float()
    far = torch.tensor([0.0, 5.0, -5.0, 5.0001, 30.0, -1e3, 1e5, -1e8])
    points = far[:, None].expand(-1, dim).clone().requires_grad_()
    for way in (flow.push, flow.pull):
        values, log_slope = way(points)
        assert values.isfinite().all()
        assert log_slope.isfinite().all()
        leaves = [points, *flow.parameters()]
        gradients = torch.autograd.grad((values / 1e8).sum() + log_slope.sum(), leaves)
        assert all(gradient.isfinite().all() for gradient in gradients)


def test_steep_splines_have_an_inverse_in_single_precision():
    torch.manual_seed(0)
    flow = CouplingFlow(1, num_layers=1)
    with torch.no_grad():
        (bias,) = flow.parameters()
        raw = 12 * torch.randn(200, len(bias))
        raw[:, :2] = 0
        x = torch.linspace(-5, 5, 2001)[:, None]
        for row in raw:
            bias.copy_(row)
            e, log_slope = flow.pull(x)
            assert e.isfinite().all()
            assert log_slope.isfinite().all()
            assert (e[1:] >= e[:-1] - 1e-3).all()


def train(flow, loss, steps, rate=5e-3):
    """Minimise a loss by Adam with a falling step size."""
    optimizer = torch.optim.Adam(flow.parameters(), rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
        schedule.step()


@each
def test_a_banana_is_recovered(kind, transform):
    """The map (e, e^2 + 0.3 e') has a density in closed form."""

    def draw(count):
        e = torch.randn(count, 2)
        return torch.stack([e[:, 0], e[:, 0] ** 2 + 0.3 * e[:, 1]], -1)

    flow = kind(2, transform=transform, num_layers=2, hidden=(32,))
    train(flow, lambda: -flow().log_prob(draw(256)).mean(), 250, rate=0.02)
    with torch.no_grad():
        x = draw(20_000)
        truth = stats.norm.logpdf(x[:, 0]) + stats.norm.logpdf(x[:, 1], x[:, 0] ** 2, 0.3)
        divergence = truth.mean() - flow().log_prob(x).mean().item()
    assert 0 <= divergence + 0.005 < 0.055


@pytest.mark.parametrize("kind", KINDS)
def test_two_modes_in_one_dimension(kind):
    def draw(count):
        return 0.5 * torch.randn(count, 1) + 2 * torch.randn(count, 1).sign()

    flow = kind(1, num_layers=2)
    train(flow, lambda: -flow().log_prob(draw(256)).mean(), 150, rate=0.05)
    with torch.no_grad():
        x = flow().sample((20_000,)).numpy()[:, 0]

    def cdf(at):
        return 0.5 * (stats.norm.cdf(at, -2, 0.5) + stats.norm.cdf(at, 2, 0.5))

    assert stats.kstest(x, cdf).statistic < 0.03


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dim", [1, 2])
def test_a_conditional_gaussian_is_learned(kind, dim):
    """For x ~ N(0, 1), c | x ~ N(x, s^2), x | c is N(c / (1 + s^2), s^2 / (1 + s^2))."""
    s = 0.5

    def draw(count):
        x = torch.randn(count, dim)
        return x, x + s * torch.randn(count, dim)

    flow = kind(dim, context_dim=dim, num_layers=1 + (dim > 1), hidden=(32,))

    def loss():
        x, context = draw(256)
        return -flow(context).log_prob(x).mean()

    train(flow, loss, 200, rate=0.02)
    contexts = torch.tensor([-1.5, 0.0, 1.0])[:, None].expand(3, dim)
    with torch.no_grad():
        x = flow(contexts).sample((20_000,)).numpy()
    assert x.shape == (20_000, 3, dim)
    np.testing.assert_allclose(x.mean(0), contexts / (1 + s**2), atol=0.06)
    np.testing.assert_allclose(x.std(0), math.sqrt(s**2 / (1 + s**2)), rtol=0.08)


@each
def test_it_is_a_distribution_of_the_host(kind, transform):
    flow = bent(kind, 3, 2, transform=transform)
    context = torch.randn(4, 2, dtype=torch.double)
    q = flow(context)
    assert isinstance(q, FlowDistribution)
    assert isinstance(q, dist.TorchDistribution)
    assert (q.batch_shape, q.event_shape, q.has_rsample) == ((4,), (3,), True)
    assert q.support is dist.constraints.real_vector
    x = q.rsample((5,))
    assert x.requires_grad
    assert not q.sample((5,)).requires_grad
    wide = q.expand((6, 4))
    assert wide.rsample((2,)).shape == (2, 6, 4, 3)
    torch.testing.assert_close(
        wide.log_prob(x[:, None].expand(5, 6, 4, 3)), q.log_prob(x)[:, None].expand(5, 6, 4)
    )
    # One point under all contexts is that point under each.
    point = x[0, 0]
    torch.testing.assert_close(
        q.log_prob(point), torch.stack([flow(each).log_prob(point) for each in context])
    )
    sampled = pyro.sample("x", q.to_event(1))
    assert sampled.shape == (4, 3)
    free = kind(3, transform=transform)().expand((2,))
    assert free.rsample((5,)).shape == (5, 2, 3)


@each
def test_what_is_remembered_of_a_draw_is_right(kind, transform):
    flow = bent(kind, 2, transform=transform)
    q = flow()
    x = q.rsample((6,))
    remembered = q.log_prob(x)
    again = q.log_prob(x.view_as(x))
    assert remembered is q.log_prob(x)
    torch.testing.assert_close(remembered, again)
    leaves = list(flow.parameters())
    for one, other in zip(
        torch.autograd.grad(remembered.sum(), leaves, retain_graph=True),
        torch.autograd.grad(again.sum(), leaves),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)
    with torch.no_grad():
        x = q.rsample((6,))
    assert q.log_prob(x).requires_grad  # the draw had none, its density does
    before = q.log_prob(x).detach().clone()
    x += 1
    assert not torch.allclose(q.log_prob(x), before)


@pytest.mark.parametrize("kind", KINDS)
def test_copies_and_saved_states(kind):
    flow = bent(kind, 3, 1)
    x, context = torch.randn(4, 3, dtype=torch.double), torch.zeros(4, 1, dtype=torch.double)
    expected = flow(context).log_prob(x)
    other = kind(3, 1).double()
    other.load_state_dict(flow.state_dict())
    for twin in (other, copy.deepcopy(flow), pickle.loads(pickle.dumps(flow))):
        torch.testing.assert_close(twin(context).log_prob(x), expected)
    flow.reset_parameters()
    torch.testing.assert_close(flow.push(x, context)[0], x)


def test_the_validation_of_torch_is_left_alone():
    """Importing zuko alone would switch it off; pickles import what they hold."""
    program = """
import sys
from torch.distributions import Distribution, Normal
import ppl_ext.pyro
assert "zuko" not in sys.modules
import ppl_ext.pyro.flows
ppl_ext.pyro.flows.CouplingFlow(2)
assert "zuko" in sys.modules and Distribution._validate_args is True
try:
    Normal(0.0, -1.0)
except ValueError:
    pass
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_pickle_read_elsewhere_leaves_it_alone_too(tmp_path):
    path = tmp_path / "flow.pkl"
    path.write_bytes(pickle.dumps(CouplingFlow(2)))
    program = f"""
import pickle, sys
from torch.distributions import Distribution
assert "zuko" not in sys.modules
pickle.loads(open({str(path)!r}, "rb").read())
assert "zuko" in sys.modules and Distribution._validate_args is True
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("kind", KINDS)
def test_refusals(kind):
    name = kind.__name__
    for options, words in (
        ({"dim": 0}, "dim = 0; expected a positive whole number"),
        ({"context_dim": -1}, "context_dim = -1; expected a whole number"),
        ({"transform": "cubic"}, "transform = 'cubic'; expected 'spline' or 'affine'"),
        ({"num_layers": 0}, "num_layers = 0"),
        ({"hidden": (8, 0)}, "hidden = 0"),
        ({"num_bins": 0}, "num_bins = 0"),
        ({"bound": 0.0}, "bound = 0.0; expected a positive number"),
    ):
        with pytest.raises(ValueError, match=f"{name}: {words}"):
            kind(**({"dim": 2} | options))
    with pytest.raises(ValueError, match=r"context is missing; expected shape \[..., 2\]"):
        kind(2, 2)()
    with pytest.raises(ValueError, match=r"context is of shape \(3,\); expected none"):
        kind(2)(torch.zeros(3))
    with pytest.raises(ValueError, match=r"context is of shape \(4, 3\); expected shape"):
        kind(2, 2)(torch.zeros(4, 3))
    with pytest.raises(ValueError, match="within the support"):
        kind(2)().log_prob(torch.tensor([0.0, math.nan]))
