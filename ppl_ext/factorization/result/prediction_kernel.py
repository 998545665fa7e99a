"""Mean and variance of what pairs of a user and an item would be rated at, compiled."""

import numpy as np

from ppl_ext.factorization.model.side_posterior import TILE
from ppl_ext.factorization.solver.batched_cholesky import compile_function

__all__ = ["measure_pairs"]


@compile_function
def measure_pairs(
    users, items, user_table, user_summary, item_table, item_summary, bias, mean, variance
):
    r"""Write mean and variance of ``b + c + u.v`` under q for each pair.

    With E and V the means and covariances of ``x = (u, b, 1)`` and ``y = (v, 1, c)``,

    .. math:: \mathrm{Var}(x \cdot y) = E_y' V_x E_y + E_x' V_y E_x + \mathrm{tr}(V_x V_y).

    Args:
        users: ``[pair]``, rows of users.
        items: ``[pair]``, rows of items.
        user_table: Table of the users.
        user_summary: Summary of the users.
        item_table: Table of the items.
        item_summary: Summary of the items.
        bias: True where the model has biases.
        mean: ``[pair]``; written.
        variance: ``[pair]``; written.
    """
    dim = user_summary.shape[1] - 1
    factors = dim - 1 if bias else dim
    x, y = np.empty(dim), np.empty(dim)
    for pair in range(len(users)):
        user, item = users[pair], items[pair]
        a, g = np.float64(user_summary[user, dim]), np.float64(item_summary[item, dim])
        for k in range(dim):
            x[k] = user_summary[user, k] / a
            y[k] = item_summary[item, k] / g
        center = 0.0
        for k in range(factors):
            center += x[k] * y[k]
        total = 0.0
        p = 0
        for r in range(dim):
            for c in range(r + 1):
                v_x = user_table[p // TILE, user, p % TILE] / a - x[r] * x[c]
                v_y = item_table[p // TILE, item, p % TILE] / g - y[r] * y[c]
                twice = 2.0 if c < r else 1.0
                if r < factors:
                    total += twice * (v_x * (v_y + y[r] * y[c]) + v_y * x[r] * x[c])
                elif c < factors:
                    total += twice * (v_x * y[c] + v_y * x[c])
                else:
                    total += v_x + v_y
                p += 1
        if bias:
            center += x[factors] + y[factors]
        mean[pair] = center
        variance[pair] = max(total, 0.0)
