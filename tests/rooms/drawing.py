"""Distributions of both rooms from NumPy arguments, their draws and their divergences."""

from importlib import import_module

import numpy as np

RARE = 1e-4  # how often a statistical test with an arbitrary seed fails falsely


def build(host, name, **arguments):
    """Make a distribution of the room from NumPy arguments."""
    hosts = {
        key: host.array(value) if isinstance(value, np.ndarray) else value
        for key, value in arguments.items()
    }
    return getattr(host.room.distributions, name)(**hosts)


def draw(host, distribution, shape=(), seed=0):
    """Draw values and their log-densities, as a guide does."""
    if host.name == "pyro":
        value = draw_by_itself(host, distribution, shape, seed)
        return value, distribution.log_prob(value)
    jax = import_module("jax")

    def both(key):
        value, between = distribution.sample_with_intermediates(key, shape)
        return value, distribution.log_prob(value, *([between] if between else []))

    return jax.jit(both)(jax.random.key(seed))


def draw_by_itself(host, distribution, shape=(), seed=0):
    """Draw values alone, operation by operation: rounded alike whatever is around them."""
    reparametrised = host.name == "pyro" and distribution.has_rsample
    sample = distribution.rsample if reparametrised else distribution.sample
    return host.random(sample, shape, seed=seed)


def kl_divergence(host, p, q) -> np.ndarray:
    """Return the divergence that the host has been told of."""
    module = import_module(
        "torch.distributions" if host.name == "pyro" else "numpyro.distributions"
    )
    return np.asarray(module.kl_divergence(p, q))
