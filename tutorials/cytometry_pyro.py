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
# # From FCS files to populations, with Pyro
#
# A flow cytometer measures the light of a few dyes on thousands of cells. Somebody draws gates
# around the populations, for each sample anew. Here a model does it from a few gated cells: it
# says of every cell which population it is of and how sure that is, how large the populations are,
# with intervals, and which cells are like none that were gated. (The same story for NumPyro: *From
# FCS files to populations, with NumPyro*; it is the worked model `models/cytometry` of the clone:
# `PYTHONPATH=. python tutorials/cytometry_pyro.py`.)
#
# ## 1. Files and gates
#
# The samples are of two donors. They are made up, so that the truth is known, but written as a
# cytometer would: FCS files with spillover between the detectors, and populations that are no
# single clouds. Of all cells, one in fifty was gated by somebody, without looking where it lies;
# debris and doublets are called `ungated`.

# %%
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from models.cytometry.data import UNGATED, UNKNOWN
from models.cytometry.judging import area_under_curve, calibration_error, population_f1
from models.cytometry.on_pyro import evaluate, fit_cells, train
from models.cytometry.reading import read_cells
from models.cytometry.result import CytometryFit
from models.cytometry.samples import POPULATIONS, write_samples
from models.cytometry.settings import Settings, make_weights
from models.cytometry.start import find_start
from models.cytometry.task import make_task

SMOKE = "PPL_EXT_SMOKE" in os.environ  # the tests run every tutorial, on less
folder = Path(tempfile.mkdtemp())
files, gates, drawn = write_samples(folder, 2_000 if SMOKE else 10_000, share_labelled=0.03)

data = read_cells(files, cofactor=150, gates=gates)
print(data)
# In the order of the names that the reader has found.
truth = np.array([data.populations.index(name) for name in POPULATIONS])[drawn]

# %% [markdown]
# The reader has compensated the spillover by the matrix in the files and scaled the light by
# $\operatorname{arcsinh}(\mathrm{value} / 150)$. Now the fit. Each population has two clusters in
# a latent space, `ungated` more of them; labels are first carried from cell to neighbouring cell,
# and the networks start there. `sampled=True` says that the gated cells are a random sample of
# all, which the fractions can rest on. For labels of another kind, say three cells a
# population, leave it out.

# %%
settings = Settings(dim=4, sampled=True)
if SMOKE:
    settings = replace(settings, hidden=24, epochs=8, batch=200, ungated_components=6, folds=2)
fit = fit_cells(data, settings)
report, found = fit.report(), fit.predict()
print(report)

assert report.ok

# %% [markdown]
# ## 2. Which cell is what
#
# Left, the cells that were gated; right, what the model says of all.

# %%
fit.draw_gates("CD3", "NK1.1")

# %%
unlabelled = data.labels == UNKNOWN
f1 = population_f1(truth[unlabelled], found.labels[unlabelled], len(data.populations))
known = np.bincount(data.labels[~unlabelled])
for name, score, count in zip(data.populations, f1, known, strict=True):
    print(f"{name:8} F1 {score:.3f} from {count} gated cells")

assert f1.mean() > (0.85 if SMOKE else 0.93)

# %% [markdown]
# A probability is of use if it can be believed: of the cells that are said to be of a population
# with 80 percent, 80 percent should be. Labels that were held out have set how sure the answers
# are; the other cells judge.

# %%
confidence = found.probs.max(1)[unlabelled]
right = (found.labels == truth)[unlabelled]
error = calibration_error(found.probs[unlabelled], truth[unlabelled])
print(f"expected calibration error {error:.3f}")

assert error < (0.05 if SMOKE else 0.03)

part = np.minimum((confidence * 10).astype(int), 9)
filled = [k for k in range(10) if (part == k).sum() >= 20]
said = [confidence[part == k].mean() for k in filled]
share = [right[part == k].mean() for k in filled]
fig, ax = plt.subplots(figsize=(4, 4), layout="constrained")
ax.plot([0, 1], [0, 1], color="#999999", lw=1, label="calibrated")
ax.plot(said, share, "o-", color="#0072B2", label="model")
ax.set(xlabel="said probability", ylabel="share that is right", xlim=(0.2, 1.02), ylim=(0.2, 1.02))
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)

# %% [markdown]
# ## 3. How large the populations are
#
# Counting the predicted cells would carry the model's errors into every sample. The intervals come
# from the labels that were held out: what they are, among the cells of which one thing is said.

# %%
fractions = found.draw_fractions()
low, high = np.quantile(fractions, [0.025, 0.975], axis=0)
actual = np.bincount(truth) / len(truth)
covered = (low <= actual) & (actual <= high)
for name, a, b, c in zip(data.populations, low, high, actual, strict=True):
    print(f"{name:8} {a:6.2%} to {b:6.2%}, true {c:6.2%}")

assert covered.sum() >= len(covered) - 1

fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
places = np.arange(len(covered))
ax.vlines(places, low, high, color="#0072B2", lw=6, alpha=0.4, label="95 % interval")
ax.plot(places, actual, "k_", markersize=14, label="true")
ax.set(xticks=places, xticklabels=data.populations, ylabel="fraction of all cells")
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)

# %% [markdown]
# The donors differ in one population above all. Which?

# %%
of_donor = [found.probs[data.file == k].mean(0) for k in range(2)]
change = dict(zip(data.populations, of_donor[1] / of_donor[0], strict=True))
print({name: f"times {value:.1f}" for name, value in change.items()})

assert max(change, key=change.get) == "NK"

# %% [markdown]
# ## 4. The latent space
#
# Every cell has a place in it; these are its two main directions.

# %%
fit.draw_embedding()

# %% [markdown]
# ## 5. Cells that nobody has gated
#
# A population without any label cannot be found by name, and a classifier puts its cells
# elsewhere, with confidence. But the model knows how cells with labels look. Without all labels of
# NK cells, these are surprising:

# %%
rest = [name for name in data.populations if name != "NK"]
fewer = np.array([rest.index(name) if name in rest else UNKNOWN for name in data.populations])
labels = np.where(unlabelled, UNKNOWN, fewer[data.labels])
blind = fit_cells(data.with_labels(labels, rest), replace(settings, folds=0))
surprise = blind.predict().surprise
gated, left_out = truth != data.populations.index(UNGATED), truth == data.populations.index("NK")
flagged = area_under_curve(surprise[gated], left_out[gated])
print(f"an NK cell surprises more than another gated cell in {flagged:.1%} of pairs")

assert flagged > 0.9

fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
edges = np.linspace(*np.quantile(surprise[gated], [0, 0.998]), 60)
for cells, name, color in ((gated & ~left_out, "other gated cells", "#999999"),
                           (left_out, "NK, without a label", "#D55E00")):  # fmt: skip
    ax.hist(surprise[cells], edges, density=True, alpha=0.7, color=color, label=name)
ax.set(xlabel="surprise, nats", ylabel="density")
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)

# %% [markdown]
# ## 6. When clusters collapse
#
# Mixtures in a latent space that start anywhere often end with a few clusters that hold all
# cells. `fit_cells` starts from labels, or from k-means where there are none. What if it did not?
# The same networks and settings, with clusters that begin as random parts of the cells. All ten
# clusters are used, and are one: each has a tenth of every cell.

# %%
bare = data.with_labels(None, ())
short = replace(settings, clusters=10, epochs=4 if SMOKE else 10, folds=0)
seeded = fit_cells(bare, short)

task = make_task(bare, short, 0)
anywhere = np.random.default_rng(0).integers(10, size=len(task.values))
start = find_start(task.values, anywhere, 10, short.dim)
task = replace(task, weights=make_weights(start, short.hidden, 0))
collapsed = CytometryFit(bare, short, task, *train(task, short, 0), evaluate)
for name, each in (("from k-means", seeded), ("from anywhere", collapsed)):
    print(f"{name}: {str(each.report()).splitlines()[0]}")
print(str(collapsed.report()).splitlines()[1])

assert seeded.report().ok
assert not collapsed.report().ok

# %% [markdown]
# `report.ok` is what to look at first. Reader, settings and what the answers rest on stand in
# `models/cytometry/README.md`; `benchmarks/cytometry.py` measures it on the cells of a mouse.
