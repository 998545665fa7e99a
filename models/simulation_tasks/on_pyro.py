"""The simulation tasks on Pyro: ``python -m models.simulation_tasks.on_pyro``."""

import argparse
import math
from collections.abc import Sequence

import pyro
import pyro.distributions as dist
import torch
from torch.distributions import constraints

import ppl_ext.pyro as px
from models.simulation_tasks.closed_form import OBSERVED, find_reference
from models.simulation_tasks.data import DESIGN, GLM_PRECISION


class Moon(dist.TorchDistribution):
    """Points about a half circle: an angle of its right half, and a radius with noise.

    The density is that of angle and radius over the radius. To the left of the centre lie the
    points whose radius is negative, all but never, so that every point has some density.
    """

    arg_constraints = {"center": constraints.real_vector}  # noqa: RUF012
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, center, validate_args=None):
        self.center = center
        super().__init__(center.shape[:-1], torch.Size([2]), validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        """Return the distribution with more batch dimensions."""
        return Moon(self.center.expand(*batch_shape, 2), validate_args=False)

    def rsample(self, sample_shape=()):
        """Draw an angle and a radius."""
        noise = self.center.new_empty((*sample_shape, *self.batch_shape, 2))
        angle = math.pi * (torch.rand_like(noise[..., :1]) - 0.5)
        radius = 0.1 + 0.01 * torch.randn_like(angle)
        return self.center + radius * torch.cat([angle.cos(), angle.sin()], dim=-1)

    def log_prob(self, value):
        """Return the log density of a point."""
        away = value - self.center
        distance = torch.hypot(away[..., 0], away[..., 1])
        radius = torch.where(away[..., 0] < 0, -distance, distance)
        return dist.Normal(0.1, 0.01).log_prob(radius) - (math.pi * distance).log()


def two_moons(x=None):
    """Two moons: a half circle about a centre that two lines of parameters share."""
    theta = pyro.sample("theta", dist.Uniform(-1.0, 1.0).expand([2]).to_event(1))
    along, across = theta[..., 0] + theta[..., 1], theta[..., 1] - theta[..., 0]
    center = torch.stack([0.25 - along.abs() / math.sqrt(2), across / math.sqrt(2)], dim=-1)
    pyro.sample("x", Moon(center), obs=x)


def slcp(x=None):
    """Simple likelihood, complex posterior: four points of a Gaussian, signs of scales unseen."""
    theta = pyro.sample("theta", dist.Uniform(-3.0, 3.0).expand([5]).to_event(1))
    scale, correlation = theta[..., 2:4] ** 2, torch.tanh(theta[..., 4])
    scale_tril = torch.stack(
        [
            torch.stack([scale[..., 0], torch.zeros_like(correlation)], dim=-1),
            torch.stack([correlation, (1 - correlation**2).sqrt()], dim=-1) * scale[..., 1:],
        ],
        dim=-2,
    )
    with pyro.plate("point", 4):
        pyro.sample("x", dist.MultivariateNormal(theta[..., :2], scale_tril=scale_tril), obs=x)


def gaussian_mixture(x=None):
    """A place, seen with much noise or with little, nobody knows which."""
    theta = pyro.sample("theta", dist.Uniform(-10.0, 10.0).expand([2]).to_event(1))
    noise = dist.Normal(theta[..., None, :], torch.tensor([[1.0], [0.1]])).to_event(1)
    which = dist.Categorical(probs=torch.full(noise.batch_shape, 0.5))
    pyro.sample("x", dist.MixtureSameFamily(which, noise), obs=x)


def gaussian_linear(x=None):
    """Ten means of known noise under a Gaussian prior of the same width."""
    theta = pyro.sample("theta", dist.Normal(0.0, math.sqrt(0.1)).expand([10]).to_event(1))
    pyro.sample("x", dist.Normal(theta, math.sqrt(0.1)).to_event(1), obs=x)


def gaussian_linear_uniform(x=None):
    """Ten means of known noise under a uniform prior."""
    theta = pyro.sample("theta", dist.Uniform(-1.0, 1.0).expand([10]).to_event(1))
    pyro.sample("x", dist.Normal(theta, math.sqrt(0.1)).to_event(1), obs=x)


def bernoulli_glm(x=None):
    """A neuron that fires or not in each of a hundred time steps: offset and filter."""
    precision = torch.tensor(GLM_PRECISION, dtype=torch.get_default_dtype())
    theta = pyro.sample(
        "theta", dist.MultivariateNormal(torch.zeros(10), precision_matrix=precision)
    )
    logits = theta @ torch.tensor(DESIGN, dtype=theta.dtype).T
    pyro.sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=x)


MODELS = {
    each.__name__: each
    for each in (
        *(two_moons, slcp, gaussian_mixture),
        *(gaussian_linear, gaussian_linear_uniform, bernoulli_glm),
    )
}


def main(argv: Sequence[str] | None = None) -> None:
    """Fit the tasks with a closed form and print how far the draws are from it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="one fit and its score line only")
    smoke = parser.parse_args(argv).smoke
    for name in ["gaussian_linear"] if smoke else OBSERVED:
        x = OBSERVED[name]
        pyro.set_rng_seed(0)
        fit = px.fit(MODELS[name], torch.tensor(x).float(), progress_bar=not smoke)
        reference, values = find_reference(name, x), fit.draws(4000).values
        print(
            f"{name} on Pyro: worst mean error {reference.worst_mean_error(values):.3f} sd, "
            f"worst log sd ratio {reference.worst_log_sd_ratio(values):.3f}"
        )


if __name__ == "__main__":
    main()
