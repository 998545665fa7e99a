# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Gradients of expectations, with NumPyro
#
# Variational inference follows the gradient of an expectation, and there are two ways to it: from
# the values of a function, or along the path of the draws. This page has what both stand on, how
# far apart they are, and a simulator on which the better one goes wrong without an error. (The
# same story for Pyro: *Gradients of expectations, with Pyro*.)

# %%
import math
import os

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from matplotlib import pyplot as plt
from scipy import special, stats

import ppl_ext.numpyro as px
from ppl_ext.numpyro.estimators import NormalPath, NormalScoreFunction

SMOKE = "PPL_EXT_SMOKE" in os.environ  # the tests run every tutorial, on fewer draws
DRAWS = 20_000 if SMOKE else 200_000

# %% [markdown]
# ## A density that is moved
#
# Draw $x$ and move it, $y = T(x)$. Where $T$ stretches the line the density gets thinner, by the
# slope; the sign of the slope does not matter, for a density has none:
#
# $$p_Y(y) = p_X(x)\,\Big|\frac{dx}{dy}\Big|, \qquad x = T^{-1}(y)$$

# %%
MAPS = {
    "rising: sinh(x)": (jnp.sinh, np.arcsinh),
    "falling: exp(-x)": (lambda x: jnp.exp(-x), lambda y: -np.log(y)),
}
x = jax.random.normal(jax.random.key(0), (DRAWS,))

fig, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
for ax, (name, (move, back)) in zip(axes, MAPS.items(), strict=True):
    y = np.asarray(move(x), dtype=float)
    slope = jax.vmap(jax.grad(move))
    grid = np.linspace(*np.quantile(y, [0.005, 0.98]), 200)
    density = stats.norm.pdf(back(grid)) / np.abs(slope(back(grid)))
    ax.hist(y, np.linspace(grid[0], grid[-1], 80), density=True, alpha=0.4, label="moved draws")
    # hist normalises what it shows, which is 97.5 % of the draws.
    ax.plot(grid, density / 0.975, "k", linewidth=1, label="the formula")
    ax.set(title=name, xlabel="y")
    ax.legend(frameon=False)
    share = 0.5 + 0.5 * np.sign(slope(back(grid))) * (2 * stats.norm.cdf(back(grid)) - 1)
    found = np.searchsorted(np.sort(y), grid) / DRAWS
    assert np.abs(found - share).max() < 1.95 / np.sqrt(DRAWS)  # Kolmogorov, one in a thousand

# %% [markdown]
# In several dimensions the slope becomes the determinant of the Jacobian: a cube whose edges are
# doubled has eight times the volume and an eighth of the density, and turning it changes nothing.
# Of polar coordinates the determinant is the radius.

# %%
turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
for matrix in (2 * np.eye(3), 2 * turn):
    jacobian = jax.jacfwd(lambda x, matrix=matrix: matrix @ x)(jnp.ones(3))
    print(f"density of a unit cube, doubled: {1 / abs(np.linalg.det(jacobian)):.4f}")
    assert abs(1 / abs(np.linalg.det(jacobian)) - 1 / 8) < 1e-6


def from_polar(point):
    radius, angle = point
    return radius * jnp.array([jnp.cos(angle), jnp.sin(angle)])


jacobian = jax.jacfwd(from_polar)(jnp.array([1.7, 0.4]))
assert abs(np.linalg.det(jacobian) - 1.7) < 1e-5

# %% [markdown]
# `fit` does the same to every site that has bounds: a speed between 0 and 10 becomes a number
# $z$ of the whole line, and its log density gets the log slope of the way back.

# %%


def uniform_speed():
    numpyro.sample("speed", dist.Uniform(0.0, 10.0))


density = px.trace_density(uniform_speed)
z = np.linspace(-4, 4, 9)[:, None]
share = special.expit(z[:, 0])
np.testing.assert_allclose(density.constrain(z)["speed"], 10 * share, rtol=1e-5)
np.testing.assert_allclose(density.log_p(z), np.log(share * (1 - share)), rtol=1e-5)

# %% [markdown]
# ## Two ways
#
# Let $z \sim N(a\theta + b, 1)$, and look for the $\theta$ that makes $E\,z^2$ least. It is
# $-b/a$. **The score function** (REINFORCE; Williams, 1992) needs nothing but values:
#
# $$\nabla_\theta E\,f(z) = E\,\big[f(z)\,\nabla_\theta \log p_\theta(z)\big]$$
#
# **The path** (Kingma, Welling, 2014) moves the draws instead, $z = a\theta + b + \epsilon$, and
# differentiates $f$:
#
# $$\nabla_\theta E\,f(z) = E\,\big[\nabla_\theta f(a\theta + b + \epsilon)\big]$$
#
# For the square both have the mean $2a\mu$ with $\mu = a\theta + b$. Their variances are
# $a^2(\mu^4 + 14\mu^2 + 15)$ and $4a^2$: the path is never less than 3.75 times as quiet.

# %%
A, B, STEPS, RUNS = 2.0, -3.0, 500, 64


def descend(estimator, rng_key):
    """Follow noisy gradients from 64 starts at 0, with steps that get smaller."""

    def loss(theta, key):
        mean = (A * theta + B)[:, None]
        return estimator.surrogate(key, lambda z: z[:, 0] ** 2, mean, 1.0).sum()

    def step(theta, given):
        key, number = given
        theta = theta - jax.grad(loss)(theta, key) / (100.0 + number)
        return theta, theta

    given = jax.random.split(rng_key, STEPS), jnp.arange(STEPS)
    return np.asarray(jax.lax.scan(step, jnp.zeros(RUNS), given)[1])


fig, axes = plt.subplots(1, 2, figsize=(9, 3), sharey=True, layout="constrained")
needed = {}
for ax, estimator in zip(axes, (NormalScoreFunction(), NormalPath()), strict=True):
    name = type(estimator).__name__
    thetas = descend(estimator, jax.random.key(1))
    error = np.sqrt(((thetas + B / A) ** 2).mean(1))
    needed[name] = 1 + np.flatnonzero(error > 0.1).max()
    ax.plot(thetas[:, :10], color="C0", linewidth=0.7, alpha=0.6)
    ax.axhline(-B / A, color="black", linestyle=":")
    ax.set(title=f"{name}: {needed[name]} steps to within 0.1", xlabel="step", ylim=(-0.5, 3))
    assert abs(thetas[-1].mean() + B / A) < 0.02
axes[0].set(ylabel="theta")
print(needed)

assert needed["NormalPath"] < 0.5 * needed["NormalScoreFunction"]

# %% [markdown]
# ## A simulator that takes steps
#
# A ball is thrown from 1.5 m; where does it land? There is a closed form, and there is the way
# of most simulators: small steps of time until the ball is below the ground.

# %%
GRAVITY, HEIGHT, STEP = 9.81, 1.5, 0.1


def land(speed, angle):
    rise = speed * jnp.sin(angle)
    return speed * jnp.cos(angle) * (rise + jnp.sqrt(rise**2 + 2 * GRAVITY * HEIGHT)) / GRAVITY


def land_in_steps(speed, angle, whole_steps=True):
    """Semi-implicit Euler; the last step is whole, or ends where the ball meets the ground."""

    def step(number, ball):
        x, height = ball
        fall = GRAVITY * STEP * (number + 1)
        lower = height + (speed * jnp.sin(angle) - fall) * STEP
        flying, lands = height > 0, lower < 0
        gap = jnp.where(lands, height - lower, 1.0)
        part = 1.0 if whole_steps else jnp.where(lands, height / gap, 1.0)
        x = jnp.where(flying, x + part * speed * jnp.cos(angle) * STEP, x)
        return x, jnp.where(flying, lower, height)

    start = jnp.zeros_like(1.0 * speed), jnp.full_like(1.0 * speed, HEIGHT)
    return jax.lax.fori_loop(0, 25, step, start)[0]


throw = jnp.array([5.0, math.pi / 4])
slopes = {
    "closed form": jax.grad(lambda throw: land(*throw)),
    "steps": jax.grad(lambda throw: land_in_steps(*throw)),
    "steps, the last one cut": jax.grad(lambda throw: land_in_steps(*throw, whole_steps=False)),
}
slopes = {name: np.asarray(slope(throw)) for name, slope in slopes.items()}
for name, (by_speed, by_angle) in slopes.items():
    print(f"{name:>24}: by speed {by_speed:.3f}, by angle {by_angle:.3f}")

np.testing.assert_allclose(slopes["closed form"], [1.116, -1.638], atol=1e-3)
np.testing.assert_allclose(slopes["steps"], [0.707, -3.536], atol=1e-3)

# %% [markdown]
# The landing points agree to a few centimetres and the derivatives do not. The number of steps
# is a whole number: constant, and at some speeds one more. Automatic differentiation sees the
# constant and not the jump, however small the steps are. A function with jumps is not the
# integral of its derivative, and an unbiased gradient along the path needs just that.
#
# So the mean over draws has the wrong gradient too. Here the speed is $N(m, 0.5^2)$, and the
# exact gradient of the mean landing point is an integral:

# %%
SD = 0.5
noise = np.linspace(-8, 8, 4001)
means = np.linspace(3, 7, 9)
values = np.asarray(land_in_steps(jnp.asarray(means[:, None] + SD * noise), throw[1]))
exact = np.trapezoid(values * noise / SD * stats.norm.pdf(noise), noise, axis=1)


@jax.jit
def estimate(means, keys):
    def surrogate(estimator, simulator):
        def of(mean, key):
            return estimator.surrogate(key, lambda z: simulator(z, throw[1]), mean, SD)

        return jax.vmap(jax.vmap(jax.grad(of), (None, 0)), (0, None))(means, keys)

    return {
        "path, steps": surrogate(NormalPath(), land_in_steps),
        "path, closed form": surrogate(NormalPath(), land),
        "score function, steps": surrogate(NormalScoreFunction(3.5), land_in_steps),
    }


keys = jax.random.split(jax.random.key(2), DRAWS // 2)
found = {name: np.asarray(each) for name, each in estimate(jnp.asarray(means), keys).items()}

fig, axes = plt.subplots(1, 2, figsize=(10, 3.5), layout="constrained")
speeds = np.linspace(4.5, 5.5, 400)
axes[0].plot(speeds, land(speeds, throw[1]), label="closed form")
axes[0].plot(speeds, land_in_steps(jnp.asarray(speeds), throw[1]), label="steps of 0.1 s")
axes[0].set(xlabel="speed in m/s", ylabel="lands at, m")
axes[0].legend(frameon=False)
axes[1].plot(means, exact, "k", label="exact")
for name, marker in zip(found, ("v", "^", "o"), strict=True):
    error = found[name].std(1) / np.sqrt(found[name].shape[1])
    axes[1].errorbar(means, found[name].mean(1), 2 * error, fmt=marker, markersize=4, label=name)
axes[1].set(xlabel="mean speed m", ylabel="gradient of the mean landing point")
axes[1].legend(frameon=False)

score = found["score function, steps"]
error = score.std(1) / np.sqrt(score.shape[1])
assert (np.abs(score.mean(1) - exact) < 4 * error).all()
assert (exact - found["path, steps"].mean(1) > 0.15).all()
assert np.abs(exact - found["path, closed form"].mean(1)).max() < 0.1

# %% [markdown]
# The path through the steps is wrong at every speed. The score function needs no derivative and
# is right; its bars show two standard errors.
#
# ## What `fit` says
#
# A guide is trained along the path, and so would learn from a gradient that is wrong. The report
# looks for jumps of the density and names the sites:

# %%


def model(landed, simulator):
    speed = numpyro.sample("speed", dist.Uniform(0.0, 10.0))
    angle = numpyro.sample("angle", dist.Uniform(0.0, math.pi / 2))
    numpyro.sample("landed", dist.Normal(simulator(speed, angle), 0.5), obs=landed)


jumps = {}
for simulator in (land_in_steps, land):
    given = model, 3.3, simulator
    fit = px.fit(jax.random.key(0), *given, guide=px.AutoFullRank, progress_bar=False)
    jumps[simulator.__name__] = fit.report().details.jumps
print(jumps["land_in_steps"])

assert set(jumps["land_in_steps"].sites) == {"speed", "angle"}
assert jumps["land"] is None

# %% [markdown]
# What helps, the best first:
#
# * **The closed form**, where there is one.
# * **Cut the last step** where the ball meets the ground, as `whole_steps=False` does. The
#   landing point is continuous then, and its derivative is off by no more than the steps are
#   coarse:

# %%
print("steps, the last one cut:", slopes["steps, the last one cut"].round(3))
assert np.abs(slopes["steps, the last one cut"] - slopes["closed form"]).max() < 0.2

# %% [markdown]
# * **The derivative of the time of flight** by the implicit function theorem: at the ground
#   $h(t, \theta) = 0$, hence $dt/d\theta = -\partial_\theta h / \partial_t h$.
# * **The score function**, for a guide of your own and the host's `SVI`; or no gradient at all:
#   `px.NPE` learns the posterior from simulations (*Neural posteriors*).
#
# Discrete choices have no path either; *From the Gumbel-max trick to ReinMax* goes on from here.
