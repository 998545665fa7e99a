"""Ratings in the order of their items, compiled."""

import numpy as np

from ppl_ext.factorization.solver.batched_cholesky import compile_function

__all__ = ["order_by_item"]


@compile_function
def order_by_item(users, items, values, levels, places, columns, kept):
    """Put ratings behind one another by item, users in order.

    Args:
        users: ``[rating]``, ordered by user.
        items: ``[rating]``.
        values: ``[rating]``.
        levels: The values that there are, in order; empty where they are kept as they are.
        places: ``[item]``, where the ratings of each start; moved to where they end.
        columns: ``[rating]``, users; written.
        kept: ``[rating]``, values, or their positions in ``levels``; written.
    """
    for rating in range(len(users)):
        place = places[items[rating]]
        places[items[rating]] += 1
        columns[place] = users[rating]
        if len(levels):
            kept[place] = np.searchsorted(levels, values[rating])
        else:
            kept[place] = values[rating]
