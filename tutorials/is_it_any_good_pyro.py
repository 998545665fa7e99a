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
# # Is it any good, and what to do if it is not, with Pyro
#
# Small models, from one that a Gaussian fits to one that no report can see through. Where no
# Gaussian fits, quadrature knows the posterior, so that what the reports say is
# checked. (The same story for NumPyro: *Is it any good, and what to do if it is
# not, with NumPyro*.)
#
# ## 1. A fit and its report
#
# Fatal accidents of airlines in the ten years from 1976 (Gelman et al., *Bayesian Data Analysis*,
# table 2.2). Is there a trend?

# %%
import os

import arviz_plots
import arviz_stats
import numpy as np
import pyro
import pyro.distributions as dist
import torch
from matplotlib import pyplot as plt
from scipy import integrate, stats

import ppl_ext.pyro as px
from ppl_ext.plots import plot_khat, plot_marginal_overlay, plot_vsbc

SMOKE = "PPL_EXT_SMOKE" in os.environ  # the tests run every tutorial, on fewer simulations


def trend(year, accidents=None):
    level = pyro.sample("level", dist.Normal(3.0, 1.0))
    slope = pyro.sample("slope", dist.Normal(0.0, 0.1))
    with pyro.plate("row", len(year)):
        rate = torch.exp(level + slope * year)
        pyro.sample("accidents", dist.Poisson(rate), obs=accidents)


year = torch.arange(1.0, 11.0)  # since 1975
accidents = torch.tensor([24.0, 25, 31, 31, 22, 21, 26, 20, 16, 22])

fit = px.fit(trend, year, accidents=accidents, progress_bar=False)
report = fit.report()
print(report)

assert report.ok
assert [step.name for step in report.steps] == ["full rank"]

# %% [markdown]
# * **verdict**: *good*, *good after importance resampling* or *not to be trusted*. *Good*, in
#   programs `report.ok`, are means within a tenth of a posterior standard deviation and standard
#   deviations within 15 %, as far as the checks can see.
# * **k-hat** and **ESS** are about the importance weights, the posterior's density over the
#   guide's: how heavy their tail is, and how many draws are left when they are weighted. Where
#   these are nearly all, as here, k-hat has no more to say.
# * **weights move**: how far means and standard deviations go when the weights correct them.
# * **tails** and **modes** look where the guide has no draws: further out, and at the ends of
#   searches from elsewhere.
#
# With no guide named, `fit` begins with the best Gaussian and climbs on until a report is good.
# `report.steps` holds the way; here one step was enough.
#
# ## 2. A skewed posterior
#
# Six machines ran for three years, and some of them never failed. How high is the rate of each?
# It is positive, so that the Gaussian sits on its logarithm, and there the posterior has a long
# tail to the left: that no failure was seen cannot tell a small rate from a tiny one.

# %%
YEARS = 3.0


def machines(failures=None):
    with pyro.plate("machine", 6):
        rate = pyro.sample("rate", dist.LogNormal(0.0, 2.0))
        pyro.deterministic("log_rate", torch.log(rate))
        pyro.sample("failures", dist.Poisson(YEARS * rate), obs=failures)


counts = torch.tensor([0.0, 1, 0, 2, 0, 1])
gaussian = px.fit(machines, counts, climb=False, progress_bar=False)
fit = px.fit(machines, counts, progress_bar=False)
print(gaussian.report(), fit.report(), sep="\n\n")

assert gaussian.report().verdict == "good after importance resampling"
assert fit.report().ok

# %% [markdown]
# The first report is that of the Gaussian alone, as `climb=False` leaves it. The weights move
# standard deviations by more than 15 %, and k-hat says that they can be used. So the climb used
# them, its second step, as `gaussian.draws(...).resample()` does by hand. Quadrature for the first
# machine tells whether `fit.draws` are now those of the posterior.

# %%
log_rate = np.linspace(-9, 3, 1201)
density = stats.norm.pdf(log_rate, 0, 2) * stats.poisson.pmf(0, YEARS * np.exp(log_rate))
density /= integrate.trapezoid(density, log_rate)
exact_mean = integrate.trapezoid(np.exp(log_rate) * density, log_rate)
exact_sd = np.sqrt(integrate.trapezoid(np.exp(2 * log_rate) * density, log_rate) - exact_mean**2)
print(f"quadrature: mean {exact_mean:.3f}, sd {exact_sd:.3f}")

found = {
    "Gaussian": gaussian.draws(10_000, seed=0),
    "resampled": fit.draws(10_000, seed=0),
}
error = {}
for name, draws in found.items():
    rate = draws.values["rate"][:, 0]
    error[name] = abs(np.log(rate.std() / exact_sd))
    print(f"{name:>10}: mean {rate.mean():.3f}, sd {rate.std():.3f}")

assert error["resampled"] < 0.1 < 0.15 < error["Gaussian"]

fig, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
plot_marginal_overlay(found, axes[0], site="log_rate[0]")
axes[0].plot(log_rate, density, color="black", linestyle=":", label="quadrature")
axes[0].legend(frameon=False, loc="upper left")
plot_khat(found["Gaussian"], axes[1])
# %% [markdown]
# On the left the Gaussian beside the truth, which the resampled draws follow. On the right the
# tail of the weights with its k-hat, below the limit.
#
# ## 3. A crescent
#
# A ball was thrown from a height of 1.5 m and landed 3.3 m away. How fast, and at which angle? (An
# example of Louppe's lectures *Foundations of Data Science*.) Nearly any angle will do if the
# speed suits it, and no Gaussian bends that way. The other two models are for later.

# %%
GRAVITY, HEIGHT, NOISE = 9.81, 1.5, 0.5


def land(speed, angle, height=HEIGHT, push=0.0):
    rise = speed * torch.sin(angle)
    flight = (rise + torch.sqrt(rise**2 + 2 * GRAVITY * height)) / GRAVITY
    return speed * torch.cos(angle) * flight + push * flight**2 / 2


def throw(landed=None, **conditions):
    speed = pyro.sample("speed", dist.Uniform(0.0, 10.0))
    angle = pyro.sample("angle", dist.Uniform(0.0, torch.pi / 2))
    distance = land(speed, angle, **conditions)
    pyro.sample("landed", dist.Normal(distance, NOISE), obs=landed)


def unknown_height(landed=None):
    throw(landed, height=pyro.sample("height", dist.Uniform(1.0, 2.0)))


def windy(landed=None):
    throw(landed, push=pyro.sample("push", dist.Normal(0.0, 1.0)))


NEAR = torch.tensor(3.3)
gaussian = px.fit(throw, NEAR, climb=False, progress_bar=False)
fit = px.fit(throw, NEAR, progress_bar=False)
report = fit.report()
print(report)

assert not gaussian.report().resampled_ok
assert report.ok

# %% [markdown]
# The Gaussian is *not to be trusted*, resampled or not, so the climb went on to sequential Monte
# Carlo: eight islands of particles start from the Gaussian and move to the posterior in small
# steps, without ever meeting. What is printed now is about their draws, and `report.chains` has
# the numbers; the lines that end with *of the guide* tell what the Gaussian was like.
#
# The truth, by quadrature:

# %%
nodes, node_weights = np.polynomial.legendre.leggauss(200)
speeds, angles = 5 * (nodes + 1), np.pi / 4 * (nodes + 1)
cells = np.outer(node_weights, node_weights) / 4  # of the prior
distances = land(torch.tensor(speeds)[:, None], torch.tensor(angles))
near = stats.norm.pdf(NEAR, distances, NOISE)
log_evidence = np.log((cells * near).sum())
exact_speed = (cells * near * speeds[:, None]).sum() / np.exp(log_evidence)

draws = fit.draws(4000, seed=0)
speed = draws.values["speed"]
print(f"quadrature: speed {exact_speed:.2f} m/s, log evidence {log_evidence:.3f}")
print(f"     draws: speed {speed.mean():.2f} m/s, log evidence {report.log_evidence:.3f}")

assert abs(speed.mean() - exact_speed) < 0.1 * speed.std()
assert abs(report.log_evidence - log_evidence) < 0.1

fig, axes = plt.subplots(1, 2, figsize=(10, 4), sharex=True, sharey=True, layout="constrained")
shown = {"Gaussian": gaussian.draws(seed=0), "posterior": draws}
for ax, (name, each) in zip(axes, shown.items(), strict=True):
    ax.scatter(each.values["speed"], each.values["angle"], s=2, alpha=0.3)
    ax.contour(speeds, angles, near.T, levels=[0.1, 0.4, 0.7], colors="black", linewidths=1)
    ax.set(xlim=(2, 10), xlabel="speed in m/s", ylabel="angle", title=f"draws of the {name}")
# %% [markdown]
# Nobody has to take our word for it. The islands are the chains of the tree, and as they never
# met, ArviZ's own R-hat and ESS tell whether they agree:

# %%
tree = draws.to_datatree()
table = arviz_stats.summary(tree, var_names=["speed", "angle"], kind="diagnostics")
print(table)
assert (table["r_hat"].astype(float) < 1.02).all()

arviz_plots.plot_rank(tree, var_names=["speed", "angle"])
# %% [markdown]
# Chains that agree stay in the grey band, or nearly, as it is made for independent draws.
#
# The **log evidence** is the log probability of the data under the model, and models of the same
# data are compared by it: of two that were equally probable before, one that is three nats higher
# is now twenty times as probable. Was the height perhaps not 1.5 m, did a wind blow? A comparison
# needs fewer draws, and `px.Correction` says how many effective ones are wanted.

# %%


def compare(landed):
    """Fit three models of a throw; the fits, and how probable each model is."""
    glance = px.Correction(ess=1000)
    fits = {
        model.__name__: px.fit(model, landed, climb=glance, progress_bar=False)
        for model in (throw, unknown_height, windy)
    }
    evidences = np.array([fit.report().log_evidence for fit in fits.values()])
    probabilities = np.exp(evidences - np.logaddexp.reduce(evidences))
    for name, evidence, probability in zip(fits, evidences, probabilities, strict=True):
        print(f"{name:>14}: log evidence {evidence:7.2f}, probability {probability:.2f}")
    return fits, probabilities


fits, probabilities = compare(NEAR)

assert all(each.report().ok for each in fits.values())
assert max(probabilities) < 0.4

# %% [markdown]
# A throw that any of them explains cannot tell them apart.
#
# ## 4. Two modes
#
# Two stations on a coast measure how far away a boat is. The circles around them meet at two
# points, to the north and to the south. North is likelier.

# %%
STATIONS = torch.tensor([-2.0, 2.0])  # km along the coast


def boat(distance=None):
    east = pyro.sample("east", dist.Normal(0.0, 3.0))
    north = pyro.sample("north", dist.Normal(0.5, 2.0))
    with pyro.plate("station", 2):
        away = torch.sqrt((east - STATIONS) ** 2 + north**2)
        pyro.sample("distance", dist.Normal(away, 0.3), obs=distance)


measured = torch.tensor([3.0, 3.6])
gaussian = px.fit(boat, measured, climb=False, progress_bar=False)
fit = px.fit(boat, measured, progress_bar=False)
print(gaussian.report(), fit.report(), sep="\n\n")

assert gaussian.report().khat < 0.7
assert not gaussian.report().resampled_ok
assert fit.report().ok
assert fit.report().chains.num_modes == 2

# %% [markdown]
# A Gaussian has one place, and there it is a fine fit: k-hat is small, for weights know only where
# the guide has been. **modes** has searched from elsewhere and sees it. The climb then begins at
# both modes and shares the draws out. By quadrature:

# %%
east, north = np.linspace(-8, 8, 401), np.linspace(-8, 8, 401)
away = np.hypot(east[:, None, None] - np.asarray(STATIONS), north[:, None])
density = (
    stats.norm.pdf(east / 3)[:, None]
    * stats.norm.pdf((north - 0.5) / 2)
    * stats.norm.pdf(measured, away, 0.3).prod(-1)
)
exact_share = density[:, north > 0].sum() / density.sum()
draws = fit.draws(4000, seed=0)
share = (draws.values["north"] > 0).mean()
print(f"north of the coast: {exact_share:.2f} by quadrature, {share:.2f} of the draws")

assert abs(share - exact_share) < 0.05

fig, ax = plt.subplots(figsize=(5, 4.4), layout="constrained")
ax.scatter(draws.values["east"], draws.values["north"], s=2, alpha=0.3, label="draws")
levels = density.max() * np.array([0.05, 0.5])
ax.contour(east, north, density.T, levels=levels, colors="black", linewidths=1)
ax.plot(STATIONS, [0, 0], "^", color="tab:red", label="stations")
ax.set(xlim=(-3, 3), ylim=(-5, 5), xlabel="east in km", ylabel="north in km")
ax.legend(frameon=False, loc="upper right")
# %% [markdown]
# ## 5. What a report cannot see
#
# **What no search has found.** Here half of the probability sits in a needle, so thin that no
# gradient elsewhere points to it. The density is that of a wide normal in three dimensions, which
# `factor` multiplies by 1 + thin / wide: it adds a thin one of the same mass. The integral is 2.

# %%


def needle():
    with pyro.plate("axis", 3):
        x = pyro.sample("x", dist.Normal(0.0, 1.0))
    thin, wide = dist.Normal(5.0, 0.01), dist.Normal(0.0, 1.0)
    pyro.factor(
        "needle", torch.nn.functional.softplus((thin.log_prob(x) - wide.log_prob(x)).sum())
    )


report = px.fit(needle, progress_bar=False).report()
print(report)

assert report.ok
assert abs(report.log_evidence) < 0.05  # and not log(2)

# %% [markdown]
# *Good*, and half of the mass is missing. So the report does not say that there is no other mode,
# but *none missed among those found*.
#
# **A model that is wrong.** The report compares the draws with the posterior of *your* model. Now
# the ball landed 15 m away, which no throw below 10 m/s can reach without wind.

# %%
FAR = torch.tensor(15.0)
fits, probabilities = compare(FAR)
reach = {}
for name in ("throw", "windy"):
    tree = fits[name].to_datatree(posterior_predictive=True, seed=0)
    reach[name] = np.mean(tree["posterior_predictive"]["landed"].to_numpy() >= FAR.item())
    arviz_plots.plot_ppc_tstat(tree, t_stat="mean")
    print(f"{name}: {fits[name].report().verdict}, {reach[name]:.1%} of predictions reach 15 m")

assert fits["throw"].report().ok
assert reach["throw"] < 0.01 < 0.05 < reach["windy"] < 0.95
assert probabilities[2] > 0.99

# %% [markdown]
# The fit of `throw` is good and the model is not: what was seen (the dot) lies outside of all that
# it predicts after having seen it. No report replaces this posterior predictive check. With a
# wind, in the second picture, 15 m are nothing special, and now the evidence tells models apart.
#
# ## 6. Is it right on average?
#
# A report is about the data at hand. Before there are any, `calibrate` simulates them from the
# model, fits each set, and looks where the truth lies among the draws: anywhere alike, if fits are
# right on average. The trend of section 1 counts its years from 1975, so that level and slope
# trade off along a ridge, and a guide without correlations is too narrow for it.

# %%
settings = {"num_simulations": 40 if SMOKE else 120, "progress_bar": False}
settings["accidents"] = accidents  # of these only the number counts
narrow = px.calibrate(trend, year, guide=px.AutoMeanField, **settings)
right = px.calibrate(trend, year, guide=px.AutoFullRank, **settings)
print(narrow, right, sep="\n\n")

assert not narrow.ok
assert right.ok

fig, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
plot_vsbc(narrow, "slope", axes[0])
plot_vsbc(right, "slope", axes[1])
# %% [markdown]
# Left mean field: walls at both ends, the truth is too often outside of the draws. The bars agree
# with their mirror image, so that the centre is right and only the width is wrong. Right full
# rank. ArviZ draws the difference to even places, first of mean field and then of full rank:

# %%
arviz_plots.plot_ecdf_pit(narrow.to_datatree(), var_names=["level", "slope"])
arviz_plots.plot_ecdf_pit(right.to_datatree(), var_names=["level", "slope"])
# %% [markdown]
# ## 7. What to do
#
# | what you see | what to do |
# |---|---|
# | *good* | use `fit.draws(...)`; look whether predictions look like the data |
# | *good after importance resampling* | `fit.draws(...).resample()`, or name no guide |
# | *not to be trusted*, of a guide you named | name none, and `fit` climbs on |
# | the same of `AutoMeanField` | `AutoFullRank`; for widths alone `fit.linear_response()` |
# | the same after sequential Monte Carlo | `Correction(max_gradients=...)`; rescale the model |
# | **modes**: one or more missed | name no guide; if they are mirror images, break the symmetry |
# | **tails** move a site | name no guide, or give the site a prior with lighter tails |
# | **starts** that reach different ELBOs | more of them: `num_starts=16` |
# | *good*, and predictions that miss the data | another model; compare by **log evidence** |
# | `calibrate`: too narrow, too low | another guide, or none |
#
# Everything that goes on from here, goes on with ArviZ: `fit.to_datatree()`.
