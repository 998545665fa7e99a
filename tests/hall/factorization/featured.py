"""Ratings of items of whose factors and biases features explain three quarters."""

import numpy as np
import pandas

from ppl_ext.factorization import (
    MatrixFactorization,
    read_ratings,
)

NUM_USERS, NUM_ITEMS, NUM_COLD, NUM_FEATURES, NUM_FACTORS = 500, 300, 60, 5, 2
NOISE = 0.5


def simulate(seed):
    """Ratings of items of whose factors and biases the features explain three quarters."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(NUM_ITEMS, NUM_FEATURES))
    effects = rng.normal(size=(NUM_FEATURES, NUM_FACTORS + 1)) / np.sqrt(NUM_FEATURES)
    known = np.sqrt(0.75) * x @ effects
    v = known + 0.5 * rng.normal(size=known.shape)
    u = rng.normal(0, 0.6, size=(NUM_USERS, NUM_FACTORS))
    b = rng.normal(0, 0.4, size=NUM_USERS)
    users, items = np.nonzero(rng.random((NUM_USERS, NUM_ITEMS)) < 0.15)
    predicted = 3.5 + b[users] + known[items, 2] + np.sum(u[users] * known[items, :2], axis=1)
    truth = 3.5 + b[users] + v[items, 2] + np.sum(u[users] * v[items, :2], axis=1)
    return users, items, truth + NOISE * rng.normal(size=len(users)), predicted, x


USERS, ITEMS, VALUES, PREDICTED, X = simulate(8)
COLD = ITEMS < NUM_COLD
IDS = np.arange(NUM_COLD, NUM_ITEMS)
RATINGS = read_ratings((USERS[~COLD], ITEMS[~COLD], VALUES[~COLD]), item_ids=IDS)
NAMES = [f"x{number}" for number in range(NUM_FEATURES)]
FRAME = pandas.DataFrame(X, columns=NAMES)


def fit(ratings=RATINGS, num_factors=NUM_FACTORS, start=None, checkpoint=None, **settings):
    features = {key: settings.pop(key) for key in [*settings] if key.endswith("_features")}
    model = MatrixFactorization(num_factors, **{"num_threads": 1, **settings})
    return model.fit(ratings, start=start, checkpoint=checkpoint, progress_bar=False, **features)
