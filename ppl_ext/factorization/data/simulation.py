"""Ratings whose truth is known."""

from dataclasses import dataclass

import numpy as np

from ppl_ext.factorization.data.ratings import Ratings

__all__ = ["Simulation", "simulate_ratings"]


@dataclass(frozen=True, eq=False)
class Simulation:
    """Simulated ratings and what they were made of.

    Args:
        ratings: The ratings.
        truth: ``[rating]``, the ratings before noise.
        noise_sd: ``[rating]``, standard deviation of the noise of each.

    Example:
        >>> simulation = simulate_ratings(num_users=50, num_items=40, seed=1)
        >>> off = (simulation.ratings.values - simulation.truth) / simulation.noise_sd
        >>> bool(abs(off.std() - 1) < 0.1)
        True
    """

    ratings: Ratings
    truth: np.ndarray
    noise_sd: np.ndarray


def simulate_ratings(
    num_users: int = 600,
    num_items: int = 400,
    num_factors: int = 4,
    *,
    density: float = 0.1,
    noise_sd: float = 0.7,
    noise_shape: float = 5.0,
    seed: int = 0,
) -> Simulation:
    """Draw ratings from the model, with popular items and busy users as in real tables.

    Not a stand-in for real ratings, which no model made.

    Args:
        num_users: Number of users.
        num_items: Number of items.
        num_factors: Number of factors.
        density: Fraction of the pairs that are rated, roughly.
        noise_sd: Standard deviation of the noise of a row of weight one.
        noise_shape: Shape of the Gamma weights of users and items; infinite for equal weights.
        seed: Seed.

    Returns:
        The ratings and their truth.

    Raises:
        ValueError: A number is not positive, or the density not between 0 and 1.

    Example:
        >>> simulate_ratings(num_users=50, num_items=40, seed=1).ratings.num_users
        50
    """
    if min(num_users, num_items, num_factors, noise_sd, noise_shape) <= 0 or not 0 < density <= 1:
        raise ValueError(
            f"simulate_ratings: {num_users} users, {num_items} items, {num_factors} factors, "
            f"noise_sd={noise_sd}, noise_shape={noise_shape}, density={density}; expected "
            "positive numbers and a density of at most 1. simulate_ratings() has such settings."
        )
    rng = np.random.default_rng(seed)
    wanted = max(1, round(density * num_users * num_items))
    busy, popular = rng.gamma(1.0, size=num_users), rng.gamma(0.7, size=num_items)
    users = rng.choice(num_users, size=wanted, p=busy / busy.sum())
    items = rng.choice(num_items, size=wanted, p=popular / popular.sum())
    pairs = np.unique(users.astype(np.int64) * num_items + items)
    users, items = (pairs // num_items).astype(np.int32), (pairs % num_items).astype(np.int32)
    scale = num_factors**-0.25
    u = rng.normal(0, scale, size=(num_users, num_factors)) * np.sqrt(0.5)
    v = rng.normal(0, scale, size=(num_items, num_factors))
    b, c = rng.normal(0, 0.4, size=num_users), rng.normal(0, 0.5, size=num_items)
    truth = 3.5 + b[users] + c[items]
    # Factor by factor, so that a hundred million ratings need no matrix.
    for k in range(num_factors):
        truth += u[users, k] * v[items, k]
    weights = np.ones(len(pairs))
    if np.isfinite(noise_shape):
        weights *= rng.gamma(noise_shape, 1 / noise_shape, size=num_users)[users]
        weights *= rng.gamma(noise_shape, 1 / noise_shape, size=num_items)[items]
    sd = noise_sd / np.sqrt(weights)
    values = (truth + sd * rng.standard_normal(len(pairs))).astype(np.float32)
    ratings = Ratings(users, items, values, np.arange(num_users), np.arange(num_items))
    return Simulation(ratings, truth, sd)
