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
# # Scaling out, with NumPyro
#
# Data that do not fit into memory, and machines that share the work. Everything here runs on one
# small machine, so that the answers can be held against those of all data at once. (The same story
# for Pyro: *Scaling out, with Pyro*.)

# %%
import os
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from matplotlib import pyplot as plt

import ppl_ext.numpyro as px
from ppl_ext.factorization import (
    MatrixFactorization,
    RatingStream,
    StreamedFactorization,
    read_part,
    read_ratings,
    simulate_ratings,
)
from ppl_ext.numpyro.factorization import fit_on_devices

SMOKE = "PPL_EXT_SMOKE" in os.environ  # the tests run every tutorial, on fewer rows
folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## Rows from a file
#
# A regression whose rows stand in a file. `np.load(..., mmap_mode="r")` opens the file and reads
# nothing; `px.Minibatches` takes the rows of a batch when they are due.

# %%
ROWS = 2_000 if SMOKE else 50_000
rng = np.random.default_rng(0)
table = np.lib.format.open_memmap(folder / "rows.npy", mode="w+", dtype="f4", shape=(ROWS, 3))
table[:, :2] = rng.normal(size=(ROWS, 2)) @ [[1.0, 0.6], [0.0, 0.8]]
table[:, 2] = table[:, :2] @ [1.0, -2.0] + rng.normal(size=ROWS)
table.flush()


def model(rows):
    b = numpyro.sample("b", dist.Normal(jnp.zeros(2), 10.0).to_event(1))
    with numpyro.plate("rows", ROWS, subsample_size=len(rows)):
        numpyro.sample("y", dist.Normal(rows[:, :2] @ b, 1.0), obs=rows[:, 2])


rows = np.load(folder / "rows.npy", mmap_mode="r")
batches = px.Minibatches(rows, batch_size=400 if SMOKE else 1000)
guide = px.AutoFullRank(model)
fitted = px.fit_minibatches(jax.random.key(0), model, guide, batches, progress_bar=False)
print(fitted)

precision = table[:, :2].T @ table[:, :2] + np.eye(2) / 100
mean = np.linalg.solve(precision, table[:, :2].T @ table[:, 2])
sd = np.sqrt(np.diag(np.linalg.inv(precision)))
found = guide.get_posterior(fitted.params)
print("exact:", mean.round(4), sd.round(4))
print("found:", found.mean.round(4), np.sqrt(found.variance).round(4))

assert fitted.log.converged
assert (np.abs(found.mean - mean) < 0.3 * sd).all()
assert np.abs(np.sqrt(found.variance) / sd - 1).max() < 0.25

log = fitted.log
fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.plot(log.steps, log.losses, ".", markersize=2)
for cut in log.steps[1:][np.diff(log.step_sizes) < 0]:
    ax.axvline(cut, color="gray", linewidth=0.8)
low, high = np.quantile(log.losses, [0, 0.9])
ax.set(xlabel="step", ylabel="mean loss of an epoch", ylim=(low - 1, high + 1))
# %% [markdown]
# The loss of a single batch is noise. The mean over an epoch is not, since an epoch sees every row
# once; where these means have stopped falling the step is made smaller (the lines), and where that
# gains nothing either the training ends.
#
# ## Several devices and processes
#
# A batch is cut into `num_parts` equal parts, each with noise of its own, whose gradients are
# averaged. The numbers follow from the parts and not from the machines: one process makes the same
# steps as two. So a training can be tried on a laptop as it will be on a cluster. There, every
# process runs the same script, which begins with
#
# ```python
# jax.distributed.initialize("first-machine:7000", num_processes, process_id)
# ```
#
# A checkpoint lets a training that was killed go on, to the same numbers bit for bit:

# %%
settings = px.MinibatchSettings(step_size=0.01, max_epochs=6)
options = {"settings": settings, "num_parts": 2, "progress_bar": False}
given = jax.random.key(0), model, px.AutoFullRank(model), batches
whole = px.fit_minibatches(*given, **options)

short = options | {"settings": px.MinibatchSettings(step_size=0.01, max_epochs=3)}
path = folder / "kept.safetensors"
px.fit_minibatches(*given, **short, checkpoint=path)
again = px.fit_minibatches(*given, **options, checkpoint=path)
for one, other in zip(jax.tree.leaves(whole.params), jax.tree.leaves(again.params), strict=True):
    assert np.array_equal(one, other)
print(f"{whole.log.steps[-1]:.0f} steps at once, and the same after a break")

# %% [markdown]
# ## Ratings
#
# A factorization needs no gradients. `RatingStream` reads a file that is sorted by user block by
# block; memory does not grow with it. `fit_on_devices` spreads the users over all accelerators of
# all processes, and each process reads its part of the file.

# %%
ratings = simulate_ratings(num_users=200, num_items=100, density=0.3, seed=1).ratings
order = np.argsort(ratings.users, kind="stable")
columns = ratings.user_ids[ratings.users], ratings.item_ids[ratings.items], ratings.values
with open(folder / "ratings.csv", "w") as file:
    file.write("user,item,rating\n")
    for user, item, rating in zip(*(column[order] for column in columns), strict=True):
        file.write(f"{user},{item},{rating}\n")

settings = MatrixFactorization(num_factors=4, num_threads=1)
inside = settings.fit(read_ratings(folder / "ratings.csv"), progress_bar=False)
stream = RatingStream(folder / "ratings.csv")
streamed = StreamedFactorization(settings).fit(stream, progress_bar=False)
on_devices = fit_on_devices(settings, read_ratings(folder / "ratings.csv"), progress_bar=False)
print(f"ELBO in memory {inside.elbo[-1]:,.1f}, streamed {streamed.elbo[-1]:,.1f}, "
      f"on devices {on_devices.elbo[-1]:,.1f}")  # fmt: skip

assert abs(streamed.elbo[-1] / inside.elbo[-1] - 1) < 1e-3
assert abs(on_devices.elbo[-1] / inside.elbo[-1] - 1) < 1e-3

parts = [read_part(folder / "ratings.csv", part, 3) for part in range(3)]
print("ratings of three processes:", [len(part) for part in parts])
assert sum(len(part) for part in parts) == len(ratings)

# %% [markdown]
# The pages *Minibatches* and *Ratings on several machines* have the lines that start the
# processes, and what happens when one of them dies.
