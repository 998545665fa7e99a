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
# # A GAN that writes strings, with Pyro
#
# A generator writes, a critic reads, and the gradient of the critic teaches the generator. With
# letters there is none: a letter is one of six, and the choice has no derivative. Relaxed letters
# have one (Kusner and Hernández-Lobato, 2016, arXiv:1611.04051). The language here has 1,365
# strings, so that whatever is written can be judged exactly. (The same story for NumPyro: *A GAN
# that writes strings, with NumPyro*. Both take the worked model from a clone: `PYTHONPATH=. python
# tutorials/text_gan_pyro.py`.)

# %%
import os

import numpy as np
import torch
from matplotlib import pyplot as plt

from models.text_gan.data import LAW, NUM_STRINGS, SYMBOLS, draw_strings, judge, spell
from models.text_gan.on_pyro import (
    RECIPES,
    gumbel_softmax,
    plain_softmax,
    run,
    straight_through,
    train,
    write_symbols,
)

SMOKE = "PPL_EXT_SMOKE" in os.environ  # the tests run every tutorial, on fewer steps
torch.manual_seed(0)

# %% [markdown]
# ## The language
#
# $S \to x \mid S+S \mid S-S \mid S*S \mid S/S$: an x, and then operators with an x each. `judge`
# counts how many strings are of the language, how their number of operators is distributed, and
# how many are different.

# %%
real = draw_strings(np.random.default_rng(0), 20_000)
print("   ".join(spell(real[:8])))
print(f"{NUM_STRINGS} strings; the grammar: {judge(real)}")
noise = np.random.default_rng(1).integers(len(SYMBOLS), size=real.shape)
print(f"letters at random: {judge(noise)}")

assert judge(real).valid == 1
assert judge(real).total_variation < 0.02
assert judge(noise).valid < 0.001

# %% [markdown]
# ## Letters with a derivative
#
# Add Gumbel noise to the logits and take a softmax in place of the largest: that is
# `px.distributions.RelaxedOneHotCategorical`. Hot, a letter is a blend of all; cold, it is nearly
# one of them, and its derivative is large or nothing. The critic sees one row of each picture a
# letter.

# %%
logits = torch.tensor([0.4, 0.15, 0.15, 0.15, 0.1, 0.05]).log().expand(30, 6)
fig, axes = plt.subplots(1, 4, figsize=(10, 4), sharey=True, layout="constrained")
for ax, temperature in zip(axes[:3], (5.0, 1.0, 0.3), strict=True):
    ax.imshow(gumbel_softmax(logits, temperature).numpy(), vmin=0, vmax=1, aspect="auto")
    ax.set(title=f"relaxed at {temperature}")
axes[3].imshow(plain_softmax(logits, 0.3).numpy(), vmin=0, vmax=1, aspect="auto")
axes[3].set(title="softmax without noise")
for ax in axes:
    ax.set_xticks(range(6), ["x", "+", "-", "*", "/", "_"])
axes[0].set(ylabel="draw")

hard = straight_through(logits, 0.3)
assert np.array_equal(np.unique(hard.numpy().round(5)), [0, 1])
assert (plain_softmax(logits, 0.3) == plain_softmax(logits, 0.3)).all()
assert (gumbel_softmax(logits, 0.3) != gumbel_softmax(logits, 0.3)).any()

# %% [markdown]
# Without noise nothing is drawn: all 30 letters are the same blend. Such a generator has to put
# its choices elsewhere, into the code that it starts from.
#
# ## Floor and ceiling
#
# Where the likelihood of a string is known the same network can be trained on it. That is the
# ceiling, and no training the floor.

# %%
steps = 100 if SMOKE else 2000
floor, ceiling = run("untrained", 0, 0, draws=4000), run("likelihood", steps, 0, draws=4000)
print(f"untrained:  {floor.score}\nlikelihood: {ceiling.score}")

assert floor.score.valid < 0.01
assert ceiling.score.valid > (0.003 if SMOKE else 0.9)

# %% [markdown]
# ## The game
#
# The critic's score is a potential whose slope is held at one (Wasserstein, with a penalty); the
# generator's letters are relaxed, from temperature 5 down to 0.3. It is used with hard letters.
# The generator that is judged is a moving average, since the two players circle.

# %%
steps = 64 if SMOKE else 8000
generator, scores = train(RECIPES["gumbel"], steps, parts=4 if SMOKE else 16, draws=4000)
print(f"after {steps} steps: {scores[-1]}")
written = spell(write_symbols(generator, 12).numpy())
print("   ".join(written))

assert len(written) == 12
assert scores[-1].total_variation <= scores[0].total_variation
if not SMOKE:
    assert scores[-1].valid >= 0.9
    assert scores[-1].total_variation <= 0.15
    assert scores[-1].distinct >= 200

fig, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
at = np.linspace(0, steps, len(scores))
axes[0].plot(at, [each.valid for each in scores], label="of the language")
axes[0].plot(at, [each.total_variation for each in scores], label="total variation")
axes[0].set(xlabel="step", ylim=(0, 1.02))
axes[0].legend(frameon=False)
axes[1].bar(np.arange(6) - 0.2, LAW, 0.4, label="grammar")
axes[1].bar(np.arange(6) + 0.2, scores[-1].law, 0.4, label="written")
axes[1].set(xlabel="operators", ylabel="share")
axes[1].legend(frameon=False)

# %% [markdown]
# `python benchmarks/text_gan.py` plays all recipes in both hosts and over three seeds: the naive
# GAN, softmax without noise, straight-through letters and maximum likelihood. With real text the
# judge is missing, and a critic that is fooled proves little: keep a likelihood where there is
# one.
