"""A sweep over users and items that are spread over devices, one compiled program.

Every device keeps its users, their ratings and a copy of the items. Users are updated where they
are. For the items each device adds up its own ratings; the sums are added over devices, each
device solves its part of the items, and all gather the results. What travels in a sweep is the
table of the items, however many users and ratings there are.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, PartitionSpec

from ppl_ext.numpyro.factorization.kernel import Knowns, Rows, Totals, add_ratings, solve_rows

__all__ = ["AXIS", "Half", "compile_sweep"]

AXIS = "part"


class Half(NamedTuple):
    """The ratings of a device as one side's rows see them; device is the leading axis.

    Args:
        columns: ``[device, block, chunk, segment, width]``.
        values: ``[device, block, chunk, segment, width]``.
        owners: ``[device, block, chunk, segment]``.
        chunks: ``[device, block]``.
        counts: ``[device, block, row]`` for users; ``[block, row]``, over all devices, for items.
    """

    columns: jax.Array
    values: jax.Array
    owners: jax.Array
    chunks: jax.Array
    counts: jax.Array


@functools.lru_cache(maxsize=16)
def compile_sweep(
    mesh: Mesh, *, bias: bool, diagonal: bool, weighted: tuple[bool, bool], dtype: np.dtype
) -> Any:
    """Compile a sweep.

    Args:
        mesh: All devices, along the axis ``AXIS``.
        bias: True where the model has biases.
        diagonal: True for diagonal covariances.
        weighted: Whether users and items have weights to learn.
        dtype: Type of what is stored.

    Returns:
        ``sweep(user_half, item_half, user_weights, items, user_knowns, item_knowns)``, which
        gives users, items, and the totals of both.
    """
    parts = mesh.shape[AXIS]
    shared = {"bias": bias, "diagonal": diagonal, "dtype": dtype}

    def sweep_part(
        user_half: Half,
        item_half: Half,
        user_weights: jax.Array,
        items: Rows,
        user_knowns: Knowns,
        item_knowns: Knowns,
    ) -> tuple[Rows, Rows, Totals, Totals]:
        def update_users(block: tuple[Any, ...]) -> tuple[Rows, Totals]:
            *ratings, counts, weights = block
            sums = add_ratings(
                items.table, items.summary, *ratings, user_knowns.center, len(counts)
            )
            return solve_rows(sums, weights, counts, user_knowns, weighted=weighted[0], **shared)

        # The leading axis is the device's own, of length one.
        mine = tuple(each[0] for each in user_half)
        blocks = mine[-1].shape
        users, totals = jax.lax.map(update_users, (*mine, user_weights[0].reshape(blocks)))
        users = Rows(*(_join_blocks(each) for each in users))
        user_totals = _add_blocks(totals)
        me = jax.lax.axis_index(AXIS)

        def update_items(block: tuple[Any, ...]) -> tuple[Rows, Totals]:
            *ratings, counts, weights = block
            sums = add_ratings(
                users.table, users.summary, *ratings, item_knowns.center, len(counts)
            )
            sums = jax.lax.psum_scatter(sums, AXIS, tiled=True)
            share = len(counts) // parts
            counts, weights = (
                jax.lax.dynamic_slice_in_dim(each, me * share, share) for each in (counts, weights)
            )
            return solve_rows(sums, weights, counts, item_knowns, weighted=weighted[1], **shared)

        *ratings, counts = item_half
        weights = items.summary[:, -1].reshape(counts.shape)
        rows, totals = jax.lax.map(update_items, (*(each[0] for each in ratings), counts, weights))
        solved = Rows(
            *(_join_blocks(jax.lax.all_gather(each, AXIS, axis=1, tiled=True)) for each in rows)
        )
        users = jax.tree.map(lambda each: each[None], users)
        flat, restore = ravel_pytree((user_totals, _add_blocks(totals)))
        return users, solved, *restore(jax.lax.psum(flat, AXIS))

    split, whole = PartitionSpec(AXIS), PartitionSpec()
    item_split = Half(split, split, split, split, whole)
    return jax.jit(
        jax.shard_map(
            sweep_part,
            mesh=mesh,
            in_specs=(split, item_split, split, whole, whole, whole),
            out_specs=(split, whole, whole, whole),
            check_vma=False,
        )
    )


def _join_blocks(each: jax.Array) -> jax.Array:
    return each.reshape(-1, *each.shape[2:])


def _add_blocks(totals: Totals) -> Totals:
    return jax.tree.map(lambda each: jnp.sum(each, axis=0), totals)
