"""Ratings on the devices that work on them."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ppl_ext.factorization import Ratings
from ppl_ext.numpyro.factorization.layout import (
    Deal,
    Segments,
    count_chunks,
    cut_segments,
    deal_rows,
    fit_sizes,
)
from ppl_ext.numpyro.factorization.processes import gather_numbers, share_labels
from ppl_ext.numpyro.factorization.sweep import AXIS, Half

__all__ = ["Placement", "collect_local"]


class Placement:
    """The ratings of all processes, each user's on one device.

    Args:
        ratings: Ratings of this process' users.
        mesh: All devices.
        dim: Length of the latent vectors.

    Attributes:
        user_ids: Labels of this process' users.
        item_ids: Labels of all items.
        count: Number of ratings of all processes.
        mean: Their mean.
        variance: Their variance.
        origin: What was taken from the ratings before they were placed.
        num_users: Number of users of all processes.
        user_counts: ``[user]``, ratings of this process' users.
        item_counts: ``[item]``, ratings of all items by all users.
        users: Where this process' users stand.
        items: Where the items stand.
        user_half: Ratings by user.
        item_half: Ratings by item.

    Raises:
        ValueError: There are no ratings.
    """

    def __init__(self, ratings: Ratings, mesh: Mesh, dim: int):
        self._mesh = mesh
        here = sum(each.process_index == jax.process_index() for each in mesh.devices.flat)
        self.user_ids = ratings.user_ids
        self.item_ids = share_labels(ratings.item_ids)
        if np.array_equal(self.item_ids, ratings.item_ids):
            items = ratings.items
        else:
            items = np.searchsorted(self.item_ids, ratings.item_ids)[ratings.items]
        values = ratings.values.astype(np.float64)
        users = len(self.user_ids)
        mine = np.array([len(values), values.sum(), users, -(-users // here)], np.float64)
        every = gather_numbers(mine)
        self.count, total, self.num_users, _ = every.sum(axis=0).tolist()
        if not self.count:
            raise ValueError(
                "fit_on_devices: there are no ratings; expected at least one. Read some with "
                "read_ratings(path)."
            )
        self.mean = total / self.count
        self.variance = gather_numbers(np.sum((values - self.mean) ** 2)).sum() / self.count
        far = gather_numbers(np.float64(ratings.values.dtype == np.float64)).any()
        # What single precision cannot tell apart far from zero, it can near their mean.
        self.origin = self.mean if far else 0.0
        rated = values - self.mean if far else ratings.values
        self.user_counts = np.bincount(ratings.users, minlength=users)
        own = np.bincount(items, minlength=len(self.item_ids))
        self.item_counts = gather_numbers(own).sum(axis=0)
        each = round(self.count / mesh.size)
        self.users = deal_rows(
            self.user_counts, fit_sizes(int(every[:, 3].max()), each, dim), here
        )
        self.items = deal_rows(
            self.item_counts, fit_sizes(len(self.item_ids), each, dim, mesh.size), 1
        )
        slots = self.users.slots[ratings.users]
        self.user_half = self._place(
            cut_segments(
                self.users,
                ratings.users,
                self.items.slots[items],
                rated,
                self.items.places - 1,
                _agree(count_chunks(self.users, ratings.users)),
            ),
            self.spread(_count(self.users, self.user_counts)),
        )
        device, place = np.divmod(slots, self.users.places)
        parts = [np.flatnonzero(device == number) for number in range(here)]
        room = _agree(max(count_chunks(self.items, items[part]) for part in parts))
        segments = [
            cut_segments(
                self.items,
                items[part],
                place[part],
                rated[part],
                self.users.places - 1,
                room,
            )
            for part in parts
        ]
        self.item_half = self._place(
            _stack(segments), self.copy(_count(self.items, self.item_counts)[0])
        )

    def spread(self, values: np.ndarray) -> jax.Array:
        """Put ``[device, ...]``, for the devices of this process, on all devices."""
        sharding = NamedSharding(self._mesh, PartitionSpec(AXIS))
        return jax.make_array_from_process_local_data(sharding, values)

    def copy(self, values: Any) -> jax.Array:
        """Put the same array on all devices."""
        sharding = NamedSharding(self._mesh, PartitionSpec())
        return jax.make_array_from_process_local_data(sharding, np.asarray(values))

    def _place(self, segments: Segments, counts: jax.Array) -> Half:
        ratings = (segments.columns, segments.values, segments.owners, segments.chunks)
        return Half(*map(self.spread, ratings), counts)


def collect_local(values: jax.Array) -> np.ndarray:
    """The part of an array that is on this process' devices, ``[device, ...]``."""
    shards = sorted(values.addressable_shards, key=lambda shard: shard.index[0].start or 0)
    return np.concatenate([np.asarray(shard.data) for shard in shards])


def _agree(number: int) -> int:
    """The largest of all processes."""
    return int(gather_numbers(np.array(number)).max())


def _count(deal: Deal, counts: np.ndarray) -> np.ndarray:
    """``[device, block, row]``, number of ratings; -1 at empty places."""
    return deal.spread(counts, -1).reshape(deal.devices, deal.sizes.blocks, deal.sizes.rows)


def _stack(segments: list[Segments]) -> Segments:
    return Segments(
        *(
            np.concatenate([getattr(each, name) for each in segments])
            for name in ("columns", "values", "owners", "chunks")
        )
    )
