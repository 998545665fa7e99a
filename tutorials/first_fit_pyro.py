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
# # A first fit with Pyro
#
# A linear regression with four coefficients on real data. The host's own variational inference
# gets it wrong and says nothing. `ppl_ext.pyro.fit` gets it right, and where a guide is too
# simple for the posterior it says so. (The same story for NumPyro: *A first fit with NumPyro*.)
#
# ## Data and model
#
# Test scores of 434 children, whether their mothers finished high school, and the mothers' IQ
# (Gelman and Hill, 2007). The predictors stay as they are, uncentred and unscaled, as most people
# would have them. The posterior is known: [posteriordb](https://github.com/stan-dev/posteriordb)
# publishes 10,000 reference draws, of which `REFERENCE` holds means and standard deviations.

# %%
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import arviz_plots
import numpy as np
import pyro
import pyro.distributions as dist
import torch
from matplotlib import pyplot as plt
from pyro.infer import SVI, Predictive, Trace_ELBO
from pyro.infer.autoguide import AutoMultivariateNormal

import ppl_ext.pyro as px
from ppl_ext.commands.demo.problem import KIDSCORE
from ppl_ext.draws import estimate_loo
from ppl_ext.plots import plot_khat, plot_pair_overlay

SMOKE = "PPL_EXT_SMOKE" in os.environ  # the tests run every tutorial, on fewer steps

MOM_HS, MOM_IQ, KID_SCORE = KIDSCORE.data
REFERENCE, TERMS = KIDSCORE.reference, KIDSCORE.labels["beta"]


def model(mom_hs, mom_iq, kid_score=None):
    with pyro.plate("term", 4):
        # A flat prior: the masked Normal adds nothing to the density, guides start from its draws.
        beta = pyro.sample("beta", dist.Normal(0.0, 1.0).mask(False))
    sigma = pyro.sample("sigma", dist.HalfCauchy(2.5))
    mean = beta[0] + beta[1] * mom_hs + beta[2] * mom_iq + beta[3] * mom_hs * mom_iq
    with pyro.plate("child", len(mom_iq)):
        pyro.sample("kid_score", dist.Normal(mean, sigma), obs=kid_score)


data = [torch.tensor(column).float() for column in (MOM_HS, MOM_IQ, KID_SCORE)]

# %% [markdown]
# ## What the host does
#
# A full-rank Gaussian, Adam with a learning rate of 0.01 and 5,000 steps: the settings of many
# tutorials.

# %%
pyro.set_rng_seed(0)
guide = AutoMultivariateNormal(model)
svi = SVI(model, guide, pyro.optim.Adam({"lr": 1e-2}), Trace_ELBO())
losses = [svi.step(*data) for _ in range(1_000 if SMOKE else 5_000)]

sites = ["beta", "sigma"]
by_hand = Predictive(guide, num_samples=2_000, return_sites=sites, parallel=True)(*data)

fig, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
ax.plot(losses, linewidth=0.5)
ax.set(yscale="log", xlabel="step", ylabel="loss", title="Looks converged")

# %% [markdown]
# The loss fell and stays flat. No warning, no error. Here is how far the posterior means are from
# the published ones, in posterior standard deviations:

# %%
error = REFERENCE.mean_error({name: np.asarray(draws) for name, draws in by_hand.items()})
for term, each in zip(TERMS, error["beta"], strict=True):
    print(f"{term:>16}: {each:+.1f} sd")

assert np.abs(error["beta"]).max() > 2

# %% [markdown]
# The effect of high school is off by several standard deviations. What happened: the coefficients
# differ in scale by a factor of a hundred and are almost collinear (intercept and slope of IQ have
# a correlation of -0.99), so a learning rate that suits one is far too small for another. Its loss
# is some twenty nats above the best, but without the best beside it nothing tells you so.
#
# ## The same model, the same family
#
# `fit` needs no learning rate and no number of steps. It solves for the best Gaussian on a fixed
# set of draws, by natural gradients, and ends when it has converged.

# %%
fit = px.fit(model, *data, guide=px.AutoFullRank, progress_bar=False)
print(fit.log)

draws = fit.draws(10_000, seed=0)
print(f"\nworst error of a mean: {REFERENCE.worst_mean_error(draws.values):.3f} sd")
print(f"worst log ratio of sds: {REFERENCE.worst_log_sd_ratio(draws.values):.3f}")

# 10,000 draws on either side leave an error of about 0.03.
assert REFERENCE.worst_mean_error(draws.values) < 0.06
assert REFERENCE.worst_log_sd_ratio(draws.values) < 0.06

# %% [markdown]
# ## Can it be trusted?
#
# You have no reference for your own model. The report asks the fit itself:

# %%
report = fit.report()
print(report)

assert report.ok
assert fit.log.gradients < 10_000

# %% [markdown]
# How to read it:
#
# * The **verdict** is *good* (use the draws), *good after importance resampling* (use
#   `draws.resample()`), or *not to be trusted* (do what the advice says).
# * Every draw has an importance weight, the density of the posterior over that of the guide.
#   **k-hat** measures the tail of these weights: below 0.7 they can correct the draws. **ESS** is
#   the number of draws that are left after the correction; here nearly all of them, so there is
#   nothing to correct.
# * **k-hat alone is not safe**: it says that draws *can be* corrected, not that they are right.
#   Hence the line *weights move*: how far means and standard deviations go when they are.
# * Weights know only where the guide has been. **tails** and **modes** look elsewhere.
#
# ## A guide that is too simple
#
# A mean-field guide has no correlations. Its means are right, its standard deviations are not: on
# a Gaussian posterior they are $1/\sqrt{\Lambda_{jj}}$, the spread of each coefficient while all
# the others are held still.

# %%
simple = px.fit(model, *data, guide=px.AutoMeanField, progress_bar=False)
simple_draws = simple.draws(10_000, seed=0)
simple_sd = simple_draws.values["beta"].std(axis=0)

design = np.stack([np.ones_like(MOM_IQ), MOM_HS, MOM_IQ, MOM_HS * MOM_IQ], axis=-1)
held_still = REFERENCE.mean["sigma"] / np.sqrt((design**2).sum(axis=0))
for term, sd, known, predicted in zip(
    TERMS, simple_sd, REFERENCE.sd["beta"], held_still, strict=True
):
    print(f"{term:>16}: sd {sd:.3f}, held still {predicted:.3f}, posterior {known:.3f}")

np.testing.assert_allclose(simple_sd, held_still, rtol=0.05)

# %% [markdown]
# It cannot be known from the ELBO that something is wrong. The report knows:

# %%
print(simple.report())

assert simple.report().verdict == "not to be trusted"

# %% [markdown]
# `linear_response` repairs the standard deviations: it asks how the means of the mean-field fit
# answer to a small push, which is what a covariance is. For models of many dimensions it is the
# cheap way to correlations.

# %%
repaired = simple.linear_response().draws(10_000, seed=0)

np.testing.assert_allclose(repaired.values["beta"].std(axis=0), REFERENCE.sd["beta"], rtol=0.06)

# %% [markdown]
# The three of them in one picture:

# %%
plot_pair_overlay(
    {"full rank": draws, "mean field": simple_draws, "linear response": repaired},
    sites=["beta[0]", "beta[1]", "beta[2]"],
)

fig, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
plot_khat(draws, axes[0])
plot_khat(simple_draws, axes[1])
# %% [markdown]
# ## On to ArviZ
#
# `to_datatree` returns what every ArviZ function takes. Plates name the dimensions, `coords` their
# entries; log densities and log likelihoods come along.

# %%
tree = replace(draws, coords={"term": TERMS}).to_datatree()
print(dict(tree["posterior"].sizes))

arviz_plots.plot_dist(tree, var_names=["beta"])

assert dict(tree["posterior"]["beta"].sizes) == {"chain": 1, "draw": 10_000, "term": 4}
assert {"posterior", "sample_stats", "log_likelihood", "observed_data"} <= set(tree.children)

# %% [markdown]
# Leave-one-out cross-validation goes through `estimate_loo`, which knows that the draws come from
# a guide. ArviZ's own `loo` would take them for the posterior.

# %%
loo = estimate_loo(draws)
print(loo)

# %% [markdown]
# ## Keep it
#
# One file of arrays and JSON, no pickle. The model is code and not in the file: give it again.

# %%
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "kidscore.safetensors"
    fit.save(path)
    again = px.load(path, model, *data)

same = again.draws(10_000, seed=0)
np.testing.assert_array_equal(same.values["beta"], draws.values["beta"])

# %% [markdown]
# ## Your own model
#
# `px.fit(model, *data)` chooses the guide by the number of dimensions and climbs on where its
# draws are not good: by resampling them, or by sequential Monte Carlo. Look at `fit.report()`
# first, and do what it says: *Is it any good, and what to do if it is not, with Pyro* goes on
# from here.
