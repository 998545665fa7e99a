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
# # Ratings with error bars
#
# A table of ratings, most of it empty, and a factorization that fills it in. Every prediction here
# comes with a standard deviation, and the standard deviations are checked. Nothing is tuned: every
# update has a closed form, and the fit ends by itself. Neither Pyro nor NumPyro is needed; how
# the same model looks there is at the end.
#
# ## Ratings
#
# The ratings are simulated, so that the truth is known: 800 people, 500 films, one pair in twenty
# rated, and some people (and films) noisier than others. Your own come from a file, such as those
# of [MovieLens](https://grouplens.org/datasets/movielens/): `read_ratings("u.data")`.
# Where test ratings have a file of their own, give both files the labels of all, so that films
# that only one of them knows have a place in the other:
# `read_ratings("u1.base", item_ids=everything.item_ids)`.

# %%
import os
import tempfile
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from ppl_ext.factorization import (
    MatrixFactorization,
    Thompson,
    UpperConfidence,
    load_factors,
    predict_blocks,
    read_ratings,
    simulate_ratings,
    split_by_row,
)
from ppl_ext.plots import plot_blocks, plot_coverage, plot_elbo

SMOKE = "PPL_EXT_SMOKE" in os.environ  # the tests run every tutorial, on less

simulation = simulate_ratings(num_users=800, num_items=500, density=0.06, seed=1)
ratings = simulation.ratings
train, test = split_by_row(ratings, 0.1, seed=0)
print(ratings)

# %% [markdown]
# ## The model
#
# $$r_{ij} \sim N\!\left(m + b_i + c_j + u_i \cdot v_j,\ \sigma^2 / (a_i g_j)\right)$$
#
# A person $i$ has factors $u_i$, a level $b_i$ and a weight $a_i$; a film $j$ has $v_j$, $c_j$ and
# $g_j$. The factors have Gaussian priors whose means and covariances are learned, the weights
# have Gamma priors. The posterior is approximated by a product: one Gaussian for each
# $(u_i, b_i)$ and $(v_j, c_j)$, one Gamma for each weight. The best Gaussian of a person, all
# films held still, is a ridge regression in which the films' own uncertainty counts; then the
# films take their turn. Each such step raises the ELBO, so it never falls, which is the first
# thing to check.

# %%
factors = MatrixFactorization(num_factors=8).fit(train, progress_bar=False)
print(factors)
print(factors.log.reason)

assert np.all(np.diff(factors.elbo) > 0)
assert factors.log.converged

fig, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
plot_elbo(factors.log, ax)
ax.set(xlabel="sweep", title="The ELBO never falls")
# %% [markdown]
# ## Predictions
#
# `predict` takes labels of people and films, one pair or as many as you like.

# %%
prediction = factors.predict(ratings.user_ids[7], ratings.item_ids[:5])
low, high = prediction.interval(0.9)
for item, mean, left, right in zip(ratings.item_ids[:5], prediction.mean, low, high, strict=True):
    print(
        f"film {item}: {mean:.2f}, with a probability of 90 % between {left:.2f} and {right:.2f}"
    )

# %% [markdown]
# There are two standard deviations. `mean_sd` says how well the expected rating is known: it
# is small for people and films with many ratings. `sd` adds the noise of a single rating, which no
# amount of data removes.

# %%
counts = np.bincount(train.users, minlength=len(ratings.user_ids))
few, many = np.argsort(counts)[[100, -5]]
for user in (few, many):
    known = factors.predict(ratings.user_ids[user], ratings.item_ids)
    print(
        f"person {user}, {counts[user]} ratings: mean known to {np.median(known.mean_sd):.2f}, "
        f"rating to {np.median(known.sd):.2f}"
    )

# %% [markdown]
# ## Are they right?
#
# The ratings that were set aside tell. An interval of 90 % should contain 90 % of them, for every
# level, and here the errors can be compared with the truth before noise as well.

# %%
assessment = factors.assess(test)
print(assessment)

fig, ax = plt.subplots(figsize=(4.5, 4.5), layout="constrained")
plot_coverage(assessment, ax)

assert assessment.ok

# %%
aside = np.isin(
    ratings.users * 500 + ratings.items, test.users * 500 + test.items, assume_unique=True
)
predicted = factors.predict(ratings.user_ids[test.users], ratings.item_ids[test.items])
missed = np.sqrt(np.mean((predicted.mean - simulation.truth[aside]) ** 2))
claimed = np.sqrt(np.mean(predicted.mean_sd**2))
print(f"expected ratings are off by {missed:.3f} and claim to be off by {claimed:.3f}")

np.testing.assert_allclose(claimed, missed, rtol=0.15)

# %% [markdown]
# ## What the error bars are good for: choosing
#
# The best guess is not always the best thing to show. Ranking by the expected rating never finds
# out about a new film; the upper end of an interval, or a draw from the posterior (Thompson
# sampling), gives the uncertain ones their chance.

# %%
person = ratings.user_ids[few]
for name, policy in (
    ("expected rating", None),
    ("upper confidence", UpperConfidence()),
    ("Thompson sampling", Thompson(seed=0)),
):
    ranking = factors.top_n(person, 5, policy=policy, exclude=train)
    print(f"{name:>18}: {ranking.items[0].tolist()}")

# %% [markdown]
# ## The table
#
# Predicted ratings of the people and films with the most of them, sorted so that alike ones are
# side by side.

# %%
plot_blocks(predict_blocks(factors, train))
# %% [markdown]
# ## Someone new
#
# A new person rates three films. The films stay as they are, and the person's posterior is one
# update away: no refit.

# %%
first = ratings.item_ids[np.argsort(-np.bincount(train.items))[:3]]
newcomer = read_ratings((np.full(3, 1000), first, [5.0, 4.5, 1.0]))
with_newcomer = factors.fold_in_users(newcomer)

known = with_newcomer.predict(1000, ratings.item_ids)
print(f"expected ratings are known to {np.median(known.mean_sd):.2f} after three ratings")
print("worth a look:", with_newcomer.top_n(1000, 3, exclude=newcomer).items[0].tolist())

assert len(with_newcomer.users) == len(factors.users) + 1

# %% [markdown]
# Of films that nobody has rated yet, something else may be known: a genre, a year, a critic's
# score. Such **features** shift the prior of a film, by a regression that is learned inside the
# same ELBO. Here a critic sees the level of every film with an error of 0.3, and the last 50 films
# are new.
#
# A new film is expected at the level of the average film. Where people choose what they rate, the
# average rating is higher than that, since it goes to the films that please: on MovieLens by a
# third of a point for films that are left out of the fit. A feature that says how widely a film is
# shown mends it.

# %%
rng = np.random.default_rng(3)
critic = factors.items.means()[:, -1:] + rng.normal(0, 0.3, size=(500, 1))
old = train.select(train.items < 450)
new = ratings.select(ratings.items >= 450)

model = MatrixFactorization(num_factors=8)
informed = model.fit(old, item_features=(ratings.item_ids, critic), progress_bar=False)
plain = model.fit(old, progress_bar=False)
print(f"RMSE on the new films: {informed.assess(new).rmse:.3f} with the critic's scores")
print(f"                       {plain.assess(new).rmse:.3f} without")

assert informed.assess(new).rmse < plain.assess(new).rmse

# %% [markdown]
# ## How many factors?
#
# The ELBO is a lower bound of the evidence, and more factors than the data support do not raise
# it: the learned priors shrink what is not needed. Held-out ratings agree. (The truth has four.)
# Where users or items are not many times the factors, too many cost more than that: the priors
# have too few rows to learn from, intervals grow too wide, and of a table of 20 by 10 sixteen
# factors find nothing where two find all there is. Keep the number with the highest ELBO.

# %%
for k in (1, 4) if SMOKE else (1, 2, 4, 8, 16):
    each = MatrixFactorization(num_factors=k).fit(train, progress_bar=False)
    print(f"{k:>2} factors: ELBO {each.elbo[-1]:,.0f}, test RMSE {each.assess(test).rmse:.4f}")

# %% [markdown]
# ## Keep it, continue it
#
# One file of arrays and JSON. Tomorrow's ratings continue yesterday's fit.

# %%
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "factors.safetensors"
    factors.save(path)
    again = load_factors(path)

updated = MatrixFactorization(num_factors=8).fit(ratings, start=again, progress_bar=False)
print(f"{factors.sweeps} sweeps before, {updated.sweeps - factors.sweeps} more with all ratings")

# %% [markdown]
# The same from the command line, with report and pictures:
#
# ```sh
# python -m ppl_ext factorize ratings.csv --factors 16 --out DIR
# ```
#
# And to ArviZ: `factors.to_datatree()` has draws of all factors, people and films labelled.

# %%
tree = factors.to_datatree(num_draws=50)
print(tree["posterior"]["user_factors"].sizes)
