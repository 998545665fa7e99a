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
# # From the Gumbel-max trick to ReinMax, with Pyro
#
# A choice among classes has no derivative. This is the story of how gradients get through it all
# the same, from 1954 to today, each step with its picture and with the flaw that led to the next.
# (The same story for NumPyro: *From the Gumbel-max trick to ReinMax, with NumPyro*.)

# %%
import os
import warnings

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from matplotlib import pyplot as plt
from pyro.infer import SVI, Trace_ELBO
from pyro.optim import ExponentialLR

import ppl_ext.pyro as px
import ppl_ext.pyro.distributions as pd
from ppl_ext.plots import plot_estimators
from ppl_ext.pyro.estimators import (
    GumbelRao,
    LeaveOneOut,
    NormalPath,
    NormalScoreFunction,
    ReinMax,
    ScoreFunction,
    StraightThrough,
    StraightThroughGumbelSoftmax,
    compare_estimators,
    estimate_gradient,
)

SMOKE = "PPL_EXT_SMOKE" in os.environ  # the tests run every tutorial, on fewer draws
DRAWS = 20_000 if SMOKE else 200_000
pyro.set_rng_seed(0)

# %% [markdown]
# ## The trick
#
# Add independent Gumbel noise to the logits and take the largest: that is a draw from the
# categorical distribution (Gumbel, 1954).
#
# $$I = \arg\max_k\,(\theta_k + G_k), \qquad P(I = k) = \frac{e^{\theta_k}}{\sum_i e^{\theta_i}},
# \qquad G_k = -\log(-\log U_k)$$

# %%
logits = torch.tensor([1.0, 0.0, -0.5, -1.0, 0.5])
scores = logits + pd.gumbel_noise((DRAWS, 5))
found = np.bincount(scores.argmax(-1), minlength=5) / DRAWS
expected = logits.softmax(-1).numpy()

fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.bar(np.arange(5) - 0.2, expected, 0.4, label="softmax")
ax.bar(np.arange(5) + 0.2, found, 0.4, label="argmax of perturbed logits")
ax.set(xlabel="class", ylabel="probability", title="The Gumbel-max trick")
ax.legend(frameon=False)

assert np.abs(found - expected).max() < 5 * np.sqrt(0.25 / DRAWS)
# %% [markdown]
# The trick is as good as the tails of the noise. Uniform numbers of 24 bits stop at a Gumbel of
# 16, and a class of small probability, which needs a large one, comes too rarely or never.
# `gumbel_noise` has finer ones, in both tails.

# %%
many = 2**20 if SMOKE else 2**26
host_largest = float(dist.Gumbel(0.0, 1.0).sample((many,)).max())
largest = float(pd.gumbel_noise((many,)).max())
print(f"largest of {many:,}: host {host_largest:.2f}, here {largest:.2f}; expected about "
      f"{np.log(many) + 0.58:.2f}")  # fmt: skip

# %% [markdown]
# ## The relaxation
#
# The argmax has no derivative; a softmax has (Maddison, Mnih, Teh; Jang, Gu, Poole, 2017):
#
# $$x = \mathrm{softmax}\big((\theta + G)/\tau\big)$$
#
# Draws live inside the simplex and move into its corners as the temperature falls. At every
# temperature the largest element is class $k$ with exactly the probability of the class.

# %%
three = torch.tensor([0.5, 0.0, -0.5])
corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(0.75)]])
fig, axes = plt.subplots(1, 3, figsize=(9, 3), layout="constrained")
for ax, temperature in zip(axes, (2.0, 0.5, 0.1), strict=True):
    relaxed = pd.RelaxedOneHotCategorical(temperature, logits=three)
    x = relaxed.sample((2_000,)).numpy()
    ax.scatter(*(x @ corners).T, s=3, alpha=0.4)
    ax.fill(*corners.T, fill=False)
    ax.set(title=f"temperature {temperature}", aspect="equal")
    ax.axis("off")
    share = np.bincount(x.argmax(-1), minlength=3) / len(x)
    assert np.abs(share - three.softmax(-1).numpy()).max() < 0.06
# %% [markdown]
# Its density is known, and hard to compute: at low temperature draws come so close to a corner
# that a float cannot say how close, and the density of a rounded draw is infinite or NaN. The
# cure is to work with $\log x$. `ExpRelaxedOneHotCategorical` does.

# %%
cold = pd.ExpRelaxedOneHotCategorical(0.05, logits=torch.linspace(-5, 5, 10))
log_x = cold.sample((DRAWS,))
print(
    "elements that are zero once exponentiated:", f"{float((log_x.exp() == 0).float().mean()):.0%}"
)
print(
    "log densities that are finite:",
    f"{float(cold.log_prob(log_x).isfinite().float().mean()):.0%}",
)

assert cold.log_prob(log_x).isfinite().all()

# %% [markdown]
# ## Why a derivative is worth so much
#
# Where the draw is a normal number there are two ways to the gradient of $E\,[f(z)]$. **The score
# function** (REINFORCE; Williams, 1992) multiplies what $f$ was by the derivative of the log
# density; **the path** (Kingma, Welling, 2014) writes $z = \mu + \sigma\epsilon$ and
# differentiates $f$ itself. For $f(z) = z^2$ and $z \sim N(\mu, 1)$ both have the mean $2\mu$;
# their variances are $\mu^4 + 14\mu^2 + 15$ and $4$.

# %%
means = np.linspace(-3, 3, 7)


def estimates_of_square(estimator, mean):
    many = torch.full((DRAWS // 4, 1), mean, requires_grad=True)
    value = estimator.surrogate(lambda z: z[..., 0] ** 2, many, 1.0)
    return torch.autograd.grad(value.sum(), many)[0][:, 0].numpy()


fig, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
for estimator, variance, name in (
    (NormalScoreFunction(), means**4 + 14 * means**2 + 15, "score function"),
    (NormalPath(), np.full(7, 4.0), "path"),
):
    slopes = np.stack([estimates_of_square(estimator, float(mean)) for mean in means])
    ax.plot(means, variance, label=f"{name}, by formula")
    ax.plot(means, slopes.var(1), "ok", markersize=4)
    errors = np.sqrt(variance / slopes.shape[1])
    assert (np.abs(slopes.mean(1) - 2 * means) < 5 * errors).all()
    assert np.allclose(slopes.var(1), variance, rtol=0.25)
ax.set(xlabel="mean of the draw", ylabel="variance of the gradient", yscale="log")
ax.legend(frameon=False)

# %% [markdown]
# Where the mean is zero the path needs 4 draws for every 15 of the score function, and far fewer
# elsewhere; but the draw has to have a derivative. A choice among classes has none, and hence all
# that follows.

# %% [markdown]
# ## The gradient
#
# What we are after is the gradient of an expectation over $z \sim \mathrm{Cat}(\theta)$, which is
# $\nabla_\theta E\,[f(z)]$. Here $z$ is four variables of three classes and $f$ a small neural
# network, so that the exact gradient is a sum over 81 values, and every estimator can be held
# against it.

# %%
weights = torch.randn(12, 16), torch.randn(16)


def network(z, activation):
    return activation(z.reshape(*z.shape[:-2], 12) @ weights[0]) @ weights[1]


def f(z):
    return network(z, torch.nn.functional.softplus)


theta = torch.randn(4, 3)

fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
bins = np.linspace(-4, 4, 161)
for estimator, name in (
    (ScoreFunction(), "score function, 1 evaluation"),
    (LeaveOneOut(4), "leave one out, 4 evaluations"),
    (StraightThrough(), "straight-through, 1 evaluation"),
):
    gradient = estimate_gradient(f, theta, estimator, DRAWS // 4).gradient[:, 0, 0]
    ax.hist(gradient.numpy(), bins, histtype="step", density=True, label=name)
    ax.axvline(float(gradient.mean()), color=ax.patches[-1].get_edgecolor(), linestyle=":")
ax.set(xlabel="estimate of one element of the gradient", yscale="log", title="Dotted: the means")
ax.legend(frameon=False, fontsize="small")
# %% [markdown]
# **The score function** (REINFORCE; Williams, 1992) is right on average, whatever $f$ is, and
# scatters widely. **Leave one out** (Kool, van Hoof, Welling, 2019) draws four values and gives
# each the mean of the other three as its baseline: still right on average, with far less scatter.
#
# **Straight-through** (Bengio, Leonard, Courville, 2013) puts the hard draw into $f$ and lets the
# derivative pass as if it had been the probabilities. It needs $f$ once, scatters little, and its
# mean is off.
#
# ## Bias or variance
#
# The straight-through Gumbel-softmax lets the derivative pass as if the draw had been the relaxed
# one. A high temperature means bias, a low one variance, and no temperature is free of both.

# %%
temperatures = (0.1, 2.0) if SMOKE else (0.1, 0.2, 0.5, 1.0, 2.0)
exact = compare_estimators(
    f, theta, [StraightThroughGumbelSoftmax(t) for t in temperatures], num_draws=DRAWS // 4
)
fig, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
bias = [max(row.relative_bias, row.relative_bias_error) for row in exact.rows]
ax.plot(temperatures, bias, "o-", label="bias, or what would have been found")
deviation = [np.sqrt(row.variance) / exact.gradient_norm for row in exact.rows]
ax.plot(temperatures, deviation, "s-", label="standard deviation")
ax.set(xscale="log", yscale="log", xlabel="temperature", ylabel="relative to the gradient")
ax.legend(frameon=False)

assert exact.rows[0].variance > 10 * exact.rows[-1].variance
assert exact.rows[0].relative_bias < exact.rows[-1].relative_bias
# %% [markdown]
# Much of that scatter is needless. Once the class is known, the noise that led to it can be drawn
# again and again, and the derivatives averaged: **Gumbel-Rao** (Paulus, Maddison, Krause, 2021).
# The mean stays, the variance falls.

# %%
rao = compare_estimators(
    f,
    theta,
    [StraightThroughGumbelSoftmax(0.2), GumbelRao(0.2, 10), GumbelRao(0.2, 100)],
    num_draws=DRAWS // 10,
)
print(rao)

assert rao.rows[0].variance > 3 * rao.rows[1].variance > 3 * rao.rows[2].variance

# %% [markdown]
# ## ReinMax
#
# Where does the bias of straight-through come from? It is what Euler's rule makes of the change
# of $f$ between two corners: the derivative at one of them times the way. **ReinMax** (Liu, Dong,
# Liu, Yu, Gao, 2023) takes Heun's rule, which has the derivative at both ends and costs no
# evaluation more. It is exact where $f$ is quadratic:


# %%
def quadratic(z):
    flat = z.reshape(*z.shape[:-2], 12)
    return ((flat @ weights[0]) ** 2).sum(-1) / 16


one = theta[:1]


def quadratic_of_one(z):
    padded = torch.cat([z, torch.zeros(*z.shape[:-2], 3, 3)], -2)
    return quadratic(padded)


print(
    compare_estimators(
        quadratic_of_one, one, [StraightThrough(), ReinMax(1.0)], num_draws=DRAWS // 2
    )
)

# %% [markdown]
# On the network, beside all others:

# %%
few = [LeaveOneOut(4), StraightThrough(), ReinMax(1.0)]
report = compare_estimators(f, theta, few if SMOKE else None, num_draws=DRAWS // 4)
print(report)
plot_estimators(report)

by_name = {row.name.partition("(")[0]: row for row in report.rows}
assert by_name["ReinMax"].relative_bias < by_name["StraightThrough"].relative_bias
assert not by_name["LeaveOneOut"].biased

# %% [markdown]
# There is no promise in it: two derivatives say little of a function that bends one way and then
# the other between two corners. The same network with another activation:

# %%
print(
    compare_estimators(
        lambda z: network(z, torch.tanh),
        theta,
        few,
        num_draws=DRAWS // 4,
    )
)

# %% [markdown]
# Hence the advice: leave one out where a few evaluations can be afforded, since it is right
# whatever the function is; ReinMax where it has to be one; and `compare_estimators` on a small
# piece of your own problem where it matters.

# %% [markdown]
# ## In a model
#
# Sixty numbers from three known Gaussians. Which one does each come from? Bayes' rule answers
# exactly; the guide has to learn its 60 rows of probabilities by gradients through the choices.
# `DiscreteELBO` takes an estimator and goes into the host's `SVI`.

# %%
CENTERS = torch.tensor([-2.0, 0.0, 2.5])
truth = torch.randint(3, (60,))
points = CENTERS[truth] + 0.8 * torch.randn(60)
exact_probs = dist.Normal(CENTERS, 0.8).log_prob(points[:, None]).softmax(-1)


def model(x):
    with pyro.plate("point", len(x)):
        z = pyro.sample("z", pd.OneHotCategoricalStraightThrough(logits=torch.zeros(3)))
        pyro.sample("x", dist.Normal(z @ CENTERS, 0.8), obs=x)


def guide(x):
    table = pyro.param("logits", torch.zeros(len(x), 3))
    with pyro.plate("point", len(x)):
        pyro.sample("z", pd.OneHotCategoricalStraightThrough(logits=table))


def worst_error(guide, elbo):
    """Largest error of a probability after training."""
    steps = 300 if SMOKE else 2_000
    optim = ExponentialLR(
        {"optimizer": torch.optim.Adam, "optim_args": {"lr": 0.1}, "gamma": 0.05 ** (1 / steps)}
    )
    with pyro.get_param_store().scope():
        svi = SVI(model, guide, optim, elbo)
        for _ in range(steps):
            svi.step(points)
            optim.step()
        found = pyro.param("logits").detach().softmax(-1)
    return float((found - exact_probs).abs().max())


unbiased = worst_error(guide, px.DiscreteELBO(LeaveOneOut(4)))
quick = worst_error(guide, px.DiscreteELBO(ReinMax(1.0)))
plain = worst_error(guide, px.DiscreteELBO(StraightThrough()))
print(f"worst error of a probability: leave one out {unbiased:.3f}, ReinMax {quick:.3f}, "
      f"straight-through {plain:.3f}")  # fmt: skip

assert unbiased < 0.1
assert quick < 0.3 < plain

# %% [markdown]
# ReinMax comes close to the unbiased estimator here, since the log density of a Gaussian is
# quadratic in the choice, and straight-through does not.
#
# A last trap. A relaxed guide against a discrete prior compares a density with a probability. The
# loss can be computed and it falls, but it is no bound. The host says nothing.


# %%
def relaxed_guide(x):
    table = pyro.param("logits", torch.zeros(len(x), 3))
    with pyro.plate("point", len(x)):
        pyro.sample("z", pd.RelaxedOneHotCategoricalStraightThrough(0.5, logits=table))


wrong = worst_error(relaxed_guide, Trace_ELBO())
print(f"worst error of a probability: {wrong:.3f}\n")

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    px.check_densities(model, relaxed_guide, points)
print(caught[0].message)

assert wrong > 0.3
assert caught[0].category is px.RelaxedDensityWarning
