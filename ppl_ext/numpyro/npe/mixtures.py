"""Conditional mixtures of Gaussians, of which one component is the full-rank Gaussian."""

import functools

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

__all__ = ["FullRankGaussian", "MixtureDensity"]

_SPREAD = 0.5  # sds by which the components begin apart from each other


class MixtureDensity:
    """A mixture of full-rank Gaussians whose parameters are linear in the context.

    Args:
        dim: Number of coordinates.
        context_dim: Width of the context.
        num_components: Number of components.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> density = MixtureDensity(2, context_dim=3)
        >>> q = density(density.init(jax.random.key(0)), jnp.zeros((5, 3)))
        >>> q.sample(jax.random.key(1), (4,)).shape
        (4, 5, 2)

    References:
        Bishop (1994), Mixture density networks, Aston University, NCRG/94/004.
    """

    def __init__(self, dim: int, context_dim: int, num_components: int = 8) -> None:
        self.dim, self.context_dim, self.num_components = dim, context_dim, num_components

    def init(self, rng_key: jax.Array) -> dict[str, jax.Array]:
        """Weights of components near the standard normal distribution, whatever the context."""
        each = 1 + self.dim + self.dim * (self.dim + 1) // 2
        bias = jnp.zeros((self.num_components, each))
        if self.num_components > 1:
            apart = _SPREAD * jax.random.normal(rng_key, (self.num_components, self.dim))
            bias = bias.at[:, 1 : 1 + self.dim].set(apart)
        return {"weight": jnp.zeros((self.context_dim, bias.size)), "bias": bias.ravel()}

    def __call__(self, params: dict[str, jax.Array], context: jax.Array) -> dist.Distribution:
        """The mixture given contexts ``[*batch, context_dim]``."""
        raw = context @ params["weight"] + params["bias"]
        raw = raw.reshape(*raw.shape[:-1], self.num_components, -1)
        loc = raw[..., 1 : 1 + self.dim]
        log_scale, below = jnp.split(raw[..., 1 + self.dim :], (self.dim,), -1)
        rows, columns = jnp.tril_indices(self.dim, -1)
        scale_tril = jnp.zeros((*raw.shape[:-1], self.dim, self.dim))
        diagonal = jnp.arange(self.dim)
        scale_tril = scale_tril.at[..., diagonal, diagonal].set(jnp.exp(log_scale))
        scale_tril = scale_tril.at[..., rows, columns].set(below)
        # Triangular as it is made, which the host would look at in many small programs.
        gaussian = functools.partial(dist.MultivariateNormal, validate_args=False)
        if self.num_components == 1:  # whose draws have a gradient, and those of a mixture none
            return gaussian(loc[..., 0, :], scale_tril=scale_tril[..., 0, :, :])
        return dist.MixtureSameFamily(
            dist.Categorical(logits=raw[..., 0]),
            gaussian(loc, scale_tril=scale_tril),
        )


class FullRankGaussian(MixtureDensity):
    """A full-rank Gaussian whose mean and Cholesky factor are linear in the context.

    Args:
        dim: Number of coordinates.
        context_dim: Width of the context.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> density = FullRankGaussian(2, context_dim=3)
        >>> q = density(density.init(jax.random.key(0)), jnp.zeros((5, 3)))
        >>> q.log_prob(jnp.zeros((5, 2))).shape
        (5,)
    """

    def __init__(self, dim: int, context_dim: int) -> None:
        super().__init__(dim, context_dim, num_components=1)
