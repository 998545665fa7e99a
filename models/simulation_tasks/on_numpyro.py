"""The simulation tasks on NumPyro: ``python -m models.simulation_tasks.on_numpyro``."""

import argparse
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints

import ppl_ext.numpyro as px
from models.simulation_tasks.closed_form import OBSERVED, find_reference
from models.simulation_tasks.data import DESIGN, GLM_PRECISION


class Moon(dist.Distribution):
    """Points about a half circle: an angle of its right half, and a radius with noise.

    The density is that of angle and radius over the radius. To the left of the centre lie the
    points whose radius is negative, all but never, so that every point has some density.
    """

    arg_constraints = {"center": constraints.real_vector}  # noqa: RUF012
    support = constraints.real_vector
    reparametrized_params = ("center",)

    def __init__(self, center, validate_args=None):
        self.center = center
        super().__init__(jnp.shape(center)[:-1], (2,), validate_args=validate_args)

    def sample(self, key, sample_shape=()):
        """Draw an angle and a radius."""
        keys = jax.random.split(key)
        shape = (*sample_shape, *self.batch_shape)
        angle = jax.random.uniform(keys[0], shape, minval=-math.pi / 2, maxval=math.pi / 2)
        radius = 0.1 + 0.01 * jax.random.normal(keys[1], shape)
        moon = jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1) * radius[..., None]
        return self.center + moon

    def log_prob(self, value):
        """Return the log density of a point."""
        away = value - self.center
        distance = jnp.hypot(away[..., 0], away[..., 1])
        radius = jnp.where(away[..., 0] < 0, -distance, distance)
        return dist.Normal(0.1, 0.01).log_prob(radius) - jnp.log(math.pi * distance)


def two_moons(x=None):
    """Two moons: a half circle about a centre that two lines of parameters share."""
    theta = numpyro.sample("theta", dist.Uniform(-1.0, 1.0).expand([2]).to_event(1))
    along, across = theta[..., 0] + theta[..., 1], theta[..., 1] - theta[..., 0]
    center = jnp.stack([0.25 - abs(along) / math.sqrt(2), across / math.sqrt(2)], axis=-1)
    numpyro.sample("x", Moon(center), obs=x)


def slcp(x=None):
    """Simple likelihood, complex posterior: four points of a Gaussian, signs of scales unseen."""
    theta = numpyro.sample("theta", dist.Uniform(-3.0, 3.0).expand([5]).to_event(1))
    scale, correlation = theta[..., 2:4] ** 2, jnp.tanh(theta[..., 4])
    scale_tril = jnp.stack(
        [
            jnp.stack([scale[..., 0], jnp.zeros_like(correlation)], axis=-1),
            jnp.stack([correlation, jnp.sqrt(1 - correlation**2)], axis=-1) * scale[..., 1:],
        ],
        axis=-2,
    )
    with numpyro.plate("point", 4):
        numpyro.sample("x", dist.MultivariateNormal(theta[..., :2], scale_tril=scale_tril), obs=x)


def gaussian_mixture(x=None):
    """A place, seen with much noise or with little, nobody knows which."""
    theta = numpyro.sample("theta", dist.Uniform(-10.0, 10.0).expand([2]).to_event(1))
    noise = dist.Normal(theta[..., None, :], jnp.array([[1.0], [0.1]])).to_event(1)
    which = dist.Categorical(probs=jnp.array([0.5, 0.5]))
    numpyro.sample("x", dist.MixtureSameFamily(which, noise), obs=x)


def gaussian_linear(x=None):
    """Ten means of known noise under a Gaussian prior of the same width."""
    theta = numpyro.sample("theta", dist.Normal(0.0, math.sqrt(0.1)).expand([10]).to_event(1))
    numpyro.sample("x", dist.Normal(theta, math.sqrt(0.1)).to_event(1), obs=x)


def gaussian_linear_uniform(x=None):
    """Ten means of known noise under a uniform prior."""
    theta = numpyro.sample("theta", dist.Uniform(-1.0, 1.0).expand([10]).to_event(1))
    numpyro.sample("x", dist.Normal(theta, math.sqrt(0.1)).to_event(1), obs=x)


def bernoulli_glm(x=None):
    """A neuron that fires or not in each of a hundred time steps: offset and filter."""
    prior = dist.MultivariateNormal(jnp.zeros(10), precision_matrix=jnp.asarray(GLM_PRECISION))
    theta = numpyro.sample("theta", prior)
    logits = theta @ jnp.asarray(DESIGN).T
    numpyro.sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=x)


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
        fit = px.fit(jax.random.key(0), MODELS[name], jnp.asarray(x), progress_bar=not smoke)
        reference, values = find_reference(name, x), fit.draws(jax.random.key(1), 4000).values
        print(
            f"{name} on NumPyro: worst mean error {reference.worst_mean_error(values):.3f} sd, "
            f"worst log sd ratio {reference.worst_log_sd_ratio(values):.3f}"
        )


if __name__ == "__main__":
    main()
