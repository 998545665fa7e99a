"""One part of a ratings file in each process."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import numpy as np

from ppl_ext.factorization.data.collecting import collect_ratings
from ppl_ext.factorization.data.columns import collect_frame
from ppl_ext.factorization.data.rating_stream import name_lines, read_text
from ppl_ext.factorization.data.ratings import Ratings

__all__ = ["read_part"]


def read_part(
    path: str | os.PathLike[str],
    part: int,
    parts: int,
    *,
    user: str = "",
    item: str = "",
    rating: str = "",
    scale: tuple[float, float] | None = None,
    item_ids: np.ndarray | None = None,
    characters: int = 2**24,
) -> Ratings:
    r"""Read one part of the users of a file, so that no process holds all ratings.

    Each process goes through the whole file and keeps the users whose labels' checksum is its own
    number; the parts differ in users, and together they are the file.

    Args:
        path: The file, as `read_ratings` takes it, Parquet apart; in any order.
        part: Which part, from 0: ``jax.process_index()``.
        parts: Number of parts: ``jax.process_count()``.
        user: Name of the column of users; one of the usual names if empty.
        item: Name of the column of items.
        rating: Name of the column of ratings.
        scale: Lowest and highest rating that is allowed.
        item_ids: Labels of all items; those that occur in this part, sorted, if None.
        characters: Size of what is read at once.

    Returns:
        The ratings of this part's users.

    Raises:
        ValueError: What `read_ratings` refuses, or the part has no users.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "ratings.csv")
        ...     _ = path.write_text("user,movie,rating\nann,7,4\nbob,8,3\nann,8,2\neve,9,5\n")
        ...     [read_part(path, part, 2).user_ids.tolist() for part in range(2)]
        [['bob', 'eve'], ['ann']]
    """
    if not 0 <= part < parts:
        raise ValueError(
            f"read_part: part={part} of parts={parts}; expected 0 to parts - 1. Write "
            "read_part(path, jax.process_index(), jax.process_count())."
        )
    names = {"user": user, "item": item, "rating": rating, "time": None}
    checks = {"scale": scale, "keep_last": False}
    kept: list[Ratings] = []
    for frame in read_text(path, names, characters, "read_part"):
        labels = frame["user"]
        mine = [each for each in labels.unique() if _draw_lot(each, parts) == part]
        chosen = frame[labels.isin(mine)]
        if len(chosen):
            kept.append(collect_frame(chosen, name_lines(path, chosen), checks))
    if not kept:
        raise ValueError(
            f"read_part: no user of '{Path(path).name}' falls to part {part} of {parts}; expected "
            "more users than parts. Use fewer processes."
        )
    users = _join([each.user_ids[each.users] for each in kept])
    items = _join([each.item_ids[each.items] for each in kept])
    values = np.concatenate([each.values for each in kept])
    return collect_ratings(users, items, values, item_ids=item_ids)


def _draw_lot(label: object, parts: int) -> int:
    return zlib.crc32(str(label).strip().encode()) % parts


def _join(labels: list[np.ndarray]) -> np.ndarray:
    """Labels of all pieces; text where any is."""
    if len({each.dtype.kind for each in labels}) > 1:
        labels = [each.astype(str) for each in labels]
    return np.concatenate(labels)
