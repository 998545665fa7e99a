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
# # Neural posteriors, with Pyro
#
# `fit` answers for one data set. `NPE` learns the posteriors of all data sets at once, from
# simulations: the model is the simulator. Where quadrature or a closed form knows the posterior,
# what is learned is checked. (The same story for NumPyro: *Neural posteriors, with NumPyro*.)
#
# ## 1. A model is a simulator
#
# Ten measurements, some of which go wrong: a Student-t has heavy tails for them.

# %%
import functools
import os
import tempfile
from pathlib import Path

import arviz_plots
import numpy as np
import pyro
import pyro.distributions as dist
import torch
from matplotlib import pyplot as plt
from scipy import stats

import ppl_ext.pyro as px
from ppl_ext.calibration import Calibration, measure_expected_coverage, measure_local_c2st
from ppl_ext.plots import plot_expected_coverage

SMOKE = "PPL_EXT_SMOKE" in os.environ  # the tests run every tutorial, on fewer simulations
SHORT = px.npe.Training(max_epochs=6 if SMOKE else 1000)


def measurements(y):
    center = pyro.sample("center", dist.Normal(0.0, 3.0))
    scale = pyro.sample("scale", dist.HalfNormal(2.0))
    with pyro.plate("row", 10):
        pyro.sample("y", dist.StudentT(3.0, center, scale), obs=y)


# The data that are given show their shape alone.
npe = px.NPE(measurements, torch.zeros(10), estimator=px.npe.MixtureDensity)
npe.train(2_000 if SMOKE else 10_000, settings=SHORT, progress_bar=False, seed=0)
print(npe.log)
print(npe.task.observed)

assert npe.task.observed[0].set_axis == 0

# %% [markdown]
# The log tells how well held-out pairs are predicted. The model treats the rows of its plate
# alike, so a `DeepSet` reads them, in no order; `set_axis` says that this was seen. Without
# `estimator` it would have been a spline flow, which bends more than this posterior asks for.
#
# Now there are data, with an outlier. Quadrature knows their posterior.

# %%
y = np.array([0.3, 1.2, 0.8, -0.5, 2.0, 0.9, 1.1, 0.4, 7.5, 0.6])
posterior = npe.posterior(y)
draws = posterior.sample(4000, seed=1)

centers, scales = np.linspace(-3, 5, 401), np.linspace(0.01, 6, 400)
log_joint = (
    stats.norm.logpdf(centers, 0, 3)[:, None]
    + stats.halfnorm.logpdf(scales, scale=2)
    + stats.t.logpdf(y, 3, centers[:, None, None], scales[:, None]).sum(-1)
)
cells = np.exp(log_joint - log_joint.max())
area = (centers[1] - centers[0]) * (scales[1] - scales[0])
exact_evidence = log_joint.max() + np.log(cells.sum() * area)
cells /= cells.sum()
exact_mean = (cells.sum(1) * centers).sum()
exact_sd = np.sqrt((cells.sum(1) * centers**2).sum() - exact_mean**2)
found = draws["center"]
print(f"quadrature: center {exact_mean:.2f} +- {exact_sd:.2f}")
print(f"   network: center {found.mean():.2f} +- {found.std():.2f}")

assert abs(found.mean() - exact_mean) < (1.0 if SMOKE else 0.5) * exact_sd

fig, ax = plt.subplots(figsize=(5, 4), layout="constrained")
ax.scatter(draws["center"], draws["scale"], s=2, alpha=0.3, label="draws of the network")
ax.contour(centers, scales, cells.T, levels=cells.max() * np.array([0.05, 0.5]), colors="black")
ax.set(xlim=(-1, 3), ylim=(0, 4), xlabel="center", ylabel="scale")
ax.legend(frameon=False)
# %% [markdown]
# ## 2. A thousand observations
#
# Each posterior costs one pass through the network; one more axis in front, and there are many.

# %%
table = npe.simulate(1000, progress_bar=False, seed=2)
posteriors = npe.posterior(table.observed)
drawn = posteriors.sample(200, seed=3)
correlation = np.corrcoef(drawn["center"].mean(1), table.latent["center"])[0, 1]
print(f"{drawn['center'].shape}; posterior mean and truth correlate {correlation:.2f}")

assert drawn["center"].shape == (1000, 200)
assert correlation > 0.9

# %% [markdown]
# ## 3. Is it calibrated?
#
# For one posterior nobody knows the truth, of simulations everybody does. Where is it among the
# draws, and how often do regions of highest density hold it? A posterior that is too narrow,
# beside it, shows that the checks can see.

# %%
truth = {name: x[:, None] for name, x in table.latent.items()}
coverage = measure_expected_coverage(posteriors.log_prob(truth)[:, 0], posteriors.log_prob(drawn))
narrow = {name: x.mean(1)[:, None] * 0.6 + 0.4 * x for name, x in drawn.items()}
calibrations = {
    "learned": Calibration.from_draws(table.latent, drawn),
    "narrow": Calibration.from_draws(table.latent, narrow),
}
print(calibrations["learned"], calibrations["narrow"], coverage, sep="\n\n")

assert not calibrations["narrow"].ok
assert abs(coverage.largest_gap) < (0.2 if SMOKE else 0.08)
plot_expected_coverage(coverage)
arviz_plots.plot_ecdf_pit(calibrations["learned"].to_datatree())
arviz_plots.plot_ecdf_pit(calibrations["narrow"].to_datatree())
# %% [markdown]
# In the band all is as it should be: first the regions, then the places of the truth for the
# network, then for the narrow one, whose truths lie outside of its draws too often.
#
# On average does not mean here. A classifier that is trained on all simulations and asked at *our*
# observation tells more. It wants few numbers, so it is given the median and the spread.

# %%


def summarize(rows):
    low, middle, high = np.quantile(rows, [0.2, 0.5, 0.8], axis=-1)
    return np.stack([middle, np.log(high - low)], -1)


def stack(values):
    return np.stack([values["center"], np.log(values["scale"])], -1)


local = {
    name: measure_local_c2st(
        stack(table.latent),
        stack({site: x[:, 0] for site, x in each.items()}),
        summarize(table.observed["y"]),
        summarize(y),
        stack(there),
    )
    for name, each, there in (
        ("learned", drawn, draws),
        ("narrow", narrow, {site: x.mean() * 0.6 + 0.4 * x for site, x in draws.items()}),
    )
}
print(f"p at this observation: learned {local['learned'].p_value:.2f}, "
      f"narrow {local['narrow'].p_value:.3f}")  # fmt: skip

assert local["narrow"].p_value < 0.05

# %% [markdown]
# ## 4. Corrected by the density
#
# A network is near and not exact. The model has a density, and `correct` uses it: the draws are
# weighted and, where the weights' k-hat is above 0.7, moved by sequential Monte Carlo. With the
# answer comes the evidence.

# %%
answer = posterior.correct(progress_bar=False, seed=4)
print(answer)
corrected = answer.draws.values["center"]
print(f"corrected: center {corrected.mean():.2f} +- {corrected.std():.2f}")
print(f"log evidence: {answer.log_evidence[0]:.3f}, by quadrature {exact_evidence:.3f}")

assert answer.ok
assert abs(corrected.mean() - exact_mean) < 0.1 * exact_sd
assert abs(answer.log_evidence[0] - exact_evidence) < 0.05

# %% [markdown]
# ## 5. Two moons, and no density
#
# A simulator that is no probabilistic program takes latent values and a NumPy generator; what the
# model does then is the prior alone. This one is the classic: its posterior are two crescents,
# thin ones, which ask for a flow.

# %%


def uniform():
    pyro.sample("theta", dist.Uniform(-1.0, 1.0).expand([2]).to_event(1))


def place(theta):
    along, across = theta.sum(-1), theta[..., 1] - theta[..., 0]
    return np.stack([0.25 - np.abs(along) / np.sqrt(2), across / np.sqrt(2)], -1)


def simulate(values, rng):
    angle = rng.uniform(-np.pi / 2, np.pi / 2, len(values["theta"]))
    radius = rng.normal(0.1, 0.01, len(angle))
    moon = np.stack([np.cos(angle), np.sin(angle)], -1) * radius[:, None]
    return {"x": place(values["theta"]) + moon}


flow = functools.partial(px.flows.AutoregressiveFlow, num_layers=1 if SMOKE else 4)
moons = px.NPE(uniform, simulator=simulate, vectorized=True, estimator=flow)
moons.train(2_000 if SMOKE else 10_000, settings=SHORT, progress_bar=False, seed=0)

side = np.linspace(-1, 1, 1201)[1:-1]
grid = np.stack(np.meshgrid(side, side, indexing="ij"), -1).reshape(-1, 2)
away = np.zeros(2) - place(grid)
distance = np.hypot(*away.T)
right = (away[:, 0] > 0) / distance
cell = (side[1] - side[0]) ** 2
density = stats.norm.pdf(distance, 0.1, 0.01) * right
density /= density.sum() * cell

inside = density > 0
chosen = np.random.default_rng(0).choice(grid[inside].shape[0], 4000, p=density[inside] * cell)
exact, at = grid[inside][chosen], density[inside][chosen]
seen = moons.posterior(np.zeros(2))
divergence = np.mean(np.log(at) - seen.log_prob({"theta": exact}))
sampled = seen.sample(4000, seed=1)["theta"]
share = (sampled.sum(1) > 0).mean()
print(f"divergence of the network from the truth: {divergence:.2f} nats; one moon has {share:.2f}")

assert divergence < (3.0 if SMOKE else 0.3)
assert abs(share - 0.5) < 0.15

fig, axes = plt.subplots(1, 2, figsize=(8, 4), sharex=True, sharey=True, layout="constrained")
for ax, points, title in zip(axes, (exact, sampled), ("quadrature", "network"), strict=True):
    ax.scatter(*points.T, s=1, alpha=0.4)
    ax.set(xlim=(-0.5, 0.5), ylim=(-0.5, 0.5), title=title, aspect="equal")
# %% [markdown]
# ## 6. Any number of rows
#
# Rows of a set may be missing, or values of them: `missing=True` learns from simulations in which
# some are hidden. `SetTransformer` reads the rows beside each other. A precision under a gamma
# prior has a gamma posterior, whatever the number of rows.

# %%


def precision(y):
    tau = pyro.sample("tau", dist.Gamma(3.0, 3.0))
    with pyro.plate("row", 6):
        pyro.sample("y", dist.Normal(0.0, tau**-0.5), obs=y)


attention = functools.partial(
    px.npe.SetTransformer, hidden=32, num_blocks=1, num_heads=2, num_inducing=4
)
sets = px.NPE(
    precision,
    torch.zeros(6),
    estimator=px.npe.FullRankGaussian,
    embedding=attention,
    missing=True,
)
sets.train(2_000 if SMOKE else 10_000, settings=SHORT, progress_bar=False, seed=0)
for rows in (np.array([0.3, -0.5, 0.2, 0.4, -0.1, 0.6]), np.array([1.5, -1.0, 0.5])):
    known = stats.gamma(3 + len(rows) / 2, scale=1 / (3 + (rows**2).sum() / 2))
    tau = sets.posterior(rows).sample(4000, seed=1)["tau"]
    print(f"{len(rows)} rows: {tau.mean():.2f} +- {tau.std():.2f}, "
          f"exact {known.mean():.2f} +- {known.std():.2f}")  # fmt: skip
    assert abs(tau.mean() - known.mean()) < (0.5 if SMOKE else 0.3) * known.std()

# %% [markdown]
# ## 7. One observation, and simulations that are dear
#
# Then simulate where they count: `train_for` goes in rounds, each only where the posterior of the
# round before has mass. The simulator takes steps: a ball with drag, thrown at an unknown speed,
# and it landed at 7 m.

# %%


def speed_prior():
    pyro.sample("speed", dist.Uniform(0.0, 20.0))


def land(speed, time_step=0.02):
    x, height = np.zeros_like(speed), np.full_like(speed, 1.5)
    ahead, up = speed / np.sqrt(2), speed / np.sqrt(2)
    while (height > 0).any():
        drag = 0.02 * np.hypot(ahead, up) * time_step
        ahead, up = ahead * (1 - drag), up * (1 - drag) - 9.81 * time_step
        flying = height > 0
        x, height = x + flying * ahead * time_step, height + flying * up * time_step
    return x


def throw(values, rng):
    return {"x": rng.normal(land(values["speed"]), 0.5)}


thrown = px.NPE(speed_prior, simulator=throw, vectorized=True, estimator=px.npe.MixtureDensity)
thrown.train_for(np.array(7.0), 2_000, num_rounds=2, settings=SHORT, progress_bar=False, seed=0)
speeds = np.linspace(0.01, 20, 2000)
weights = stats.norm.pdf(7.0, land(speeds), 0.5)
weights /= weights.sum()
exact_speed = (weights * speeds).sum()
speed = thrown.posterior(np.array(7.0)).sample(4000, seed=1)["speed"]
print(f"speed {speed.mean():.2f} +- {speed.std():.2f}, by quadrature {exact_speed:.2f}")

assert abs(speed.mean() - exact_speed) < 0.15

# %% [markdown]
# ## 8. Keeping it
#
# A file of arrays, of which nothing is executed; and a checkpoint, from which the same call goes
# on after a kill.

# %%
with tempfile.TemporaryDirectory() as folder:
    thrown.save(Path(folder, "throw.safetensors"))
    again = px.NPE(
        speed_prior, simulator=throw, vectorized=True, estimator=px.npe.MixtureDensity
    ).load(Path(folder, "throw.safetensors"))
    points = {"speed": np.array([7.0, 8.0])}
    one, other = (each.posterior(np.array(7.0)).log_prob(points) for each in (thrown, again))
    assert (one == other).all()

    kept = {"checkpoint": Path(folder, "npe.ckpt"), "settings": SHORT}
    again.train(500, progress_bar=False, seed=0, **kept)
    print(again.log)

# %% [markdown]
# | you want | you write |
# |---|---|
# | to know whether it is right | the checks of section 3; with a density `posterior.correct()` |
# | to know whether data are like simulated ones | `posterior.surprise()`, which warns by itself |
# | a sharper posterior | more simulations, `fresh=True`, `Training(num_members=5)`, a flow |
# | nuisances marginalised | `NPE(model, latent=["center"])` |
# | everything else | `draws.to_datatree()`: ArviZ goes on from here |
