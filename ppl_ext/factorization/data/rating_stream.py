"""Ratings as blocks of users: a file read again in each pass, or a table that is cut."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ppl_ext.factorization.data.columns import (
    ColumnNames,
    Place,
    collect_frame,
    pick_from_form,
)
from ppl_ext.factorization.data.lines import read_pieces
from ppl_ext.factorization.data.ratings import Ratings

if TYPE_CHECKING:
    import pandas

__all__ = ["RatingStream", "cut_by_user", "name_lines", "read_text"]


@dataclass(frozen=True)
class RatingStream:
    r"""A text file of ratings as blocks of users, read anew each time it is gone through.

    In the file the ratings of a user stand together, as in a file that is sorted by user. Each
    block has the labels of its own users and items. What is held is a block, and the labels of
    the users seen so far.

    Not for files that fit in memory, which `read_ratings` checks as a whole.

    Args:
        path: The file, as `read_ratings` takes it, Parquet apart.
        characters: Size of what is read at once; a rating takes about 20.
        user: Name of the column of users; one of the usual names if empty.
        item: Name of the column of items.
        rating: Name of the column of ratings.
        scale: Lowest and highest rating that is allowed.

    Raises:
        ValueError: In going through it: what `read_ratings` refuses, a user whose ratings do not
            stand together, or labels that are integers first and text later.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "ratings.csv")
        ...     _ = path.write_text("user,movie,rating\n1,7,4\n1,8,3\n2,7,2.5\n3,9,5\n")
        ...     for block in RatingStream(path, characters=10):
        ...         print(block.user_ids.tolist(), block.values.tolist())
        [1] [4.0, 3.0]
        [2] [2.5]
        [3] [5.0]
    """

    path: str | os.PathLike[str]
    characters: int = 2**24
    user: str = ""
    item: str = ""
    rating: str = ""
    scale: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not self.characters >= 1:
            raise ValueError(
                f"RatingStream: characters={self.characters}; expected at least 1. Leave it out."
            )

    def __iter__(self) -> Iterator[Ratings]:
        seen: np.ndarray | None = None
        for frame in self._read_users():
            checks = {"scale": self.scale, "keep_last": False}
            block = collect_frame(frame, name_lines(self.path, frame), checks)
            if seen is None:
                seen = block.user_ids
            else:
                if seen.dtype.kind != block.user_ids.dtype.kind:
                    _refuse_kinds(self.path, "user", block.user_ids)
                again = block.user_ids[np.isin(block.user_ids, seen)]
                if again.size:
                    raise ValueError(
                        f"RatingStream: user {again[0].item()!r} comes back in line "
                        f"{frame.index[0]} of '{Path(self.path).name}' or later; expected the "
                        "ratings of a user together. Sort the file by user."
                    )
                seen = np.concatenate([seen, block.user_ids])
            yield block

    def _read_users(self) -> Iterator[pandas.DataFrame]:
        """Frames of whole users."""
        import pandas

        held: pandas.DataFrame | None = None
        names = {"user": self.user, "item": self.item, "rating": self.rating, "time": None}
        for frame in read_text(self.path, names, self.characters, "RatingStream"):
            rows = frame if held is None else pandas.concat([held, frame])
            labels = rows["user"].to_numpy()
            others = np.flatnonzero(labels != labels[-1:])  # none of no labels
            cut = int(others[-1]) + 1 if len(others) else 0
            held = rows.iloc[cut:]
            if cut:
                yield rows.iloc[:cut]
        if held is not None:
            yield held


def cut_by_user(ratings: Ratings, size: int) -> list[Ratings]:
    """Cut ratings into blocks of whole users.

    Not for files, which `RatingStream` reads block by block.

    Args:
        ratings: The ratings.
        size: Ratings of a block, about.

    Returns:
        The blocks, each with its own users and all items.

    Raises:
        ValueError: The size is not positive.

    Example:
        >>> from ppl_ext.factorization import simulate_ratings
        >>> ratings = simulate_ratings(num_users=30, num_items=20, seed=0).ratings
        >>> blocks = cut_by_user(ratings, 20)
        >>> sum(len(block) for block in blocks) == len(ratings)
        True
        >>> sum(block.num_users for block in blocks)
        30
    """
    if not isinstance(size, int | np.integer) or size < 1:
        raise ValueError(
            f"cut_by_user: size={size}; expected an integer of at least 1. Write "
            "cut_by_user(ratings, 10**6)."
        )
    ends = np.cumsum(np.bincount(ratings.users, minlength=ratings.num_users))
    # Users go to the block that their last rating falls into.
    block_of = np.maximum(ends - 1, 0) // size
    cuts = [0, *(np.flatnonzero(np.diff(block_of)) + 1).tolist(), ratings.num_users]
    blocks = []
    for first, last in pairwise(cuts):
        own = slice(ends[first - 1] if first else 0, ends[last - 1])
        blocks.append(
            replace(
                ratings,
                users=ratings.users[own] - np.int32(first),
                items=ratings.items[own],
                values=ratings.values[own],
                user_ids=ratings.user_ids[first:last],
                times=None if ratings.times is None else ratings.times[own],
            )
        )
    return blocks


def read_text(
    path: str | os.PathLike[str], names: ColumnNames, characters: int, called: str
) -> Iterator[pandas.DataFrame]:
    """Frames of text, some lines at a time.

    Args:
        path: The file.
        names: Names of the columns.
        characters: Size of what is read at once.
        called: What a user called.

    Yields:
        The frames, indexed by the numbers of the lines.

    Raises:
        ValueError: The file is Parquet, or a line is malformed.
    """
    file = Path(path)
    if file.suffix.lower() == ".parquet":
        raise ValueError(
            f"{called}: '{file.name}' is Parquet; expected a text file. Write the table as CSV, "
            "or read it whole: read_ratings(path)."
        )
    yield from read_pieces(file, pick_from_form(names), characters)


def name_lines(path: str | os.PathLike[str], frame: pandas.DataFrame) -> Place:
    """Words for where a rating of a frame stands: position -> words."""
    lines, name = frame.index.to_numpy(), Path(path).name
    return lambda at: f"line {lines[at]} of '{name}'"


def _refuse_kinds(path: str | os.PathLike[str], name: str, labels: np.ndarray) -> None:
    raise ValueError(
        f"RatingStream: the {name}s of '{Path(path).name}' are integers in one block and text in "
        f"another, {labels[0].item()!r} first; expected one of the two. Put a letter before each "
        "label, or raise characters=, so that a block holds more."
    )
