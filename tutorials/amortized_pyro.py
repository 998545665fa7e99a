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
# # One encoder for all rows, with Pyro
#
# Some models have a latent variable for every row of the data: the code of an image, the state of
# a cell. A guide with numbers for each row grows with the data and knows nothing of new rows.
# `AutoAmortized` learns an encoder instead, which reads a row and answers with its posterior, and
# `fit_minibatches` trains it on data that may be larger than memory. First on a model whose
# posterior is known, then on handwritten digits: the variational auto-encoder. (The same story for
# NumPyro: *One encoder for all rows, with NumPyro*; the auto-encoder is a worked model of the
# clone: `PYTHONPATH=. python tutorials/amortized_pyro.py`.)
#
# ## 1. A posterior that is known
#
# Five measurements of each row hang on two hidden numbers, with noise. The posterior of each row
# is Gaussian; its mean is linear in the row, its covariance the same for all.

# %%
import os
import tempfile
from pathlib import Path

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from matplotlib import pyplot as plt
from scipy import stats

import ppl_ext.pyro as px
from models.vae.data import load_digits
from models.vae.on_pyro import fit_images
from models.vae.picture import draw_digits, draw_embedding
from models.vae.result import score_pixels
from models.vae.settings import Settings

SMOKE = "PPL_EXT_SMOKE" in os.environ  # the tests run every tutorial, on less
SIZE, NOISE = 2_000, 0.5
rng = np.random.default_rng(0)
W = rng.normal(size=(5, 2))
data = (rng.normal(size=(SIZE, 2)) @ W.T + NOISE * rng.normal(size=(SIZE, 5))).astype("float32")

covariance = np.linalg.inv(np.eye(2) + W.T @ W / NOISE**2)
exact = data @ W @ covariance / NOISE**2
marginal = stats.multivariate_normal(np.zeros(5), W @ W.T + NOISE**2 * np.eye(5))


def model(x):
    with pyro.plate("rows", SIZE, subsample_size=len(x)):
        z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        mean = z @ torch.as_tensor(W.T, dtype=torch.float32)
        pyro.sample("x", dist.Normal(mean, NOISE).to_event(1), obs=x)


# %% [markdown]
# The plate knows the length of all data, and the model is handed one batch: that is all that
# minibatches ask of a model. The rows lie in a file here and are read batch by batch; a tenth of
# them is held out, for an encoder may learn its rows by heart. There is no learning rate to choose
# and no number of steps; a checkpoint is written on the way, from which a killed training goes on.

# %%
folder = Path(tempfile.mkdtemp())
np.save(folder / "rows.npy", data)
rows = np.load(folder / "rows.npy", mmap_mode="r")
train, held_out = px.Minibatches(rows, batch_size=100).split(0.1)

guide = px.AutoAmortized(model)
fitted = px.fit_minibatches(
    model,
    guide,
    train,
    held_out=held_out,
    settings=px.MinibatchSettings(max_epochs=40 if SMOKE else 1000),
    checkpoint=folder / "encoder.safetensors",
    progress_bar=False,
)
print(fitted)

fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.plot(fitted.log.steps, fitted.log.losses / SIZE, label="batches, as they went")
ax.plot(fitted.log.scored, fitted.log.held_out / SIZE, label="held-out rows, averaged weights")
ax.axhline(
    -marginal.logpdf(data).mean(), color="black", lw=1, label="minus log evidence of all rows"
)
ax.set(xlabel="step", ylabel="nats a row", ylim=(5.6, 7))
ax.legend(frameon=False)

# %% [markdown]
# The bound of the evidence that is reached cannot be above the evidence, and with the exact
# posterior it is the evidence: $\log p(x) = \mathrm{ELBO} + \mathrm{KL}(q \| p)$. How far is it?

# %%
posterior = guide.local_posterior(torch.tensor(data))
loc, spread = posterior.mean.detach().numpy(), posterior.covariance_matrix.detach().numpy()
divergence = [
    0.5
    * (
        np.trace(np.linalg.solve(covariance, c))
        + (m - e) @ np.linalg.solve(covariance, m - e)
        - 2
        + np.linalg.slogdet(covariance)[1]
        - np.linalg.slogdet(c)[1]
    )
    for m, e, c in zip(loc, exact, spread, strict=True)
]
print(f"KL of the encoder's answers from the posteriors: {np.mean(divergence):.4f} nats a row")
off = np.abs(loc - exact).mean(0) / np.sqrt(np.diag(covariance))
print(f"means are off by {off.round(2)} standard deviations on average")

assert np.mean(divergence) < (0.5 if SMOKE else 0.05)

# %% [markdown]
# ## 2. The amortization gap
#
# Nobody knows the posterior of a real model. `refine` tells all the same what the encoder loses:
# it goes on from the encoder's answer, row by row, and sees how far the bound rises. Here it has
# to find what the closed form says, for these rows and for rows twice as far out, on most of which
# the encoder was never trained; they have a longer way, and get more steps.

# %%
ordinary = guide.refine(torch.tensor(data[:200]))
far = guide.refine(torch.tensor(2 * data[:200]), max_steps=2000)
print(ordinary.gap)
print()
print(far.gap)

assert abs(ordinary.gap.mean - np.mean(divergence[:200])) < 0.02
assert far.gap.mean > ordinary.gap.mean

medians = far.median()["z"].detach().numpy()
error = np.abs(medians - 2 * exact[:200]).max() / np.sqrt(np.diag(covariance)).min()
print(f"refined medians of the far rows: at most {error:.2f} standard deviations off")
assert error < 0.3

# %% [markdown]
# ## 3. The variational auto-encoder
#
# Now the model is a network as well: ten latent numbers, a decoder that makes an image of them,
# and pixels of 0 to 16. Guide and training stay as they are. The loss of an image has two terms,
# how badly its pixels are reconstructed and how far its posterior is from the prior; the worked
# model `models/vae` has the second in closed form, by the host's `TraceMeanField_ELBO`.

# %%
images = load_digits(600 if SMOKE else None)
short = {"epochs": 40 if SMOKE else 60}
vae = fit_images(images, Settings(**short))
print(f"ELBO of test images       {vae.bound():8.2f} nats an image")
print(f"  by 100 weighted draws   {vae.evidence(draws=100):8.2f}")
print(f"independent pixels        {score_pixels(images):8.2f}")

assert vae.bound() > score_pixels(images) + (100 if SMOKE else 150)
assert vae.evidence(draws=100) >= vae.bound()

# %% [markdown]
# Above, images of the test and what is left of them after ten numbers; then images that nobody
# wrote, decoded from draws of the prior; and where the test images lie in the latent space. No
# label was used.

# %%
fig, axes = plt.subplots(3, 1, figsize=(6, 5), layout="constrained")
draw_digits(images.test[:20] / images.brightest, axes[0], title="Images of the test")
draw_digits(vae.reconstruct(images.held_out[:20]), axes[1], title="Reconstructed")
draw_digits(vae.generate(20), axes[2], title="Decoded from the prior")

fig, ax = plt.subplots(figsize=(6, 5.5), layout="constrained")
draw_embedding(vae.encode(images.held_out)[0], images.test_labels, ax)

# %% [markdown]
# ## 4. Why both terms
#
# Without the reconstruction, nothing ties the posterior to the image: it falls onto the prior, and
# the code says nothing. Without the regulariser the posterior shrinks to a point wherever that
# suits the decoder, and what the prior draws, the decoder has never seen.

# %%
ablations = {
    "both": vae,
    "no reconstruction": fit_images(images, Settings(reconstruct=False, **short)),
    "no regulariser": fit_images(images, Settings(regularise=False, **short)),
}
sds = {}
for name, each in ablations.items():
    _, sd = each.encode(images.held_out)
    sds[name] = float(np.median(sd))
    print(
        f"{name:18} ELBO {each.bound():8.1f}, posterior sd {sds[name]:.3f} (prior 1), "
        f"drawn images are told from real ones in {each.strangeness():.0%}"
    )

assert abs(sds["no reconstruction"] - 1) < 0.1
assert sds["no regulariser"] < 0.5 * sds["both"]
assert ablations["no regulariser"].bound() < vae.bound()

fig, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
for ax, name in zip(axes, ("both", "no regulariser"), strict=True):
    draw_digits(ablations[name].generate(20), ax=ax, title=f"from the prior, {name}")

# %% [markdown]
# One half would mean that nobody can tell them. What comes next: posteriors of rows that bend
# (`AutoAmortized(local="flow")`), latent variables that all rows share (`shared="full_rank"`),
# several processes (`num_parts`), and `docs/amortized.md` and `docs/minibatches.md`.
