"""Counts whose totals differ from row to row, predicted."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy import stats

from ppl_ext.numpyro import fit

TOTALS = np.array([5, 9, 1])
COUNTS = np.array([[1, 2, 2], [3, 3, 3], [0, 1, 0]])


def rows(totals, y, largest=None):
    alpha = numpyro.sample("alpha", dist.LogNormal(jnp.zeros(3), 0.01).to_event(1))
    with numpyro.plate("row", 3):
        fn = dist.DirichletMultinomial(alpha, totals, total_count_max=largest)
        numpyro.sample("y", fn, obs=y)


def test_totals_without_a_bound_are_refused_by_name():
    fitted = fit(jax.random.key(0), rows, TOTALS, COUNTS, climb=False)
    with pytest.raises(ValueError, match=r"'y' \(DirichletMultinomial\).*total_count_max=int\("):
        fitted.draws(jax.random.key(1), 10, posterior_predictive=True)


def test_predicted_counts_have_the_totals_of_their_rows():
    fitted = fit(jax.random.key(0), rows, TOTALS, COUNTS, largest=9, climb=False)
    drawn = fitted.draws(jax.random.key(1), 400, posterior_predictive=True)
    counts = np.asarray(drawn.posterior_predictive["y"])
    np.testing.assert_array_equal(counts.sum(-1), np.tile(TOTALS, (400, 1)))
    # With concentrations of one a count is beta-binomial of 1 and 2.
    for row, total in enumerate(TOTALS):
        law = stats.betabinom(total, 1.0, 2.0)
        assert abs(counts[:, row, 0].mean() - law.mean()) < 4 * law.std() / 20
