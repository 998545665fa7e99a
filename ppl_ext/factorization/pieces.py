"""Ratings files that are read piece by piece: as a stream, or one part of them in each process."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ppl_ext.factorization.lines import read_pieces
from ppl_ext.factorization.ratings import Ratings, collect_ratings
from ppl_ext.factorization.reading import collect_frame, find_column

if TYPE_CHECKING:
    import pandas

__all__ = ["RatingStream", "read_part"]


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
        user: Name of the column of users; one of the usual names if None.
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
        [1, 2] [4.0, 3.0, 2.5]
        [3] [5.0]
    """

    path: str | os.PathLike[str]
    characters: int = 2**24
    user: str | None = None
    item: str | None = None
    rating: str | None = None
    scale: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not self.characters >= 1:
            raise ValueError(
                f"RatingStream: characters={self.characters}; expected at least 1. Leave it out."
            )

    def __iter__(self) -> Iterator[Ratings]:
        seen: np.ndarray | None = None
        for frame in self._read_users():
            block = _collect(frame, self, self.scale)
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
        for frame in _read_text(self.path, self.characters, "RatingStream"):
            rows = frame if held is None else pandas.concat([held, frame])
            column = find_column(rows, "user", self._names["user"], Path(self.path).name)
            labels = rows[column].to_numpy()
            others = np.flatnonzero(labels != labels[-1:])  # none of no labels
            cut = int(others[-1]) + 1 if len(others) else 0
            held = rows.iloc[cut:]
            if cut:
                yield rows.iloc[:cut]
        if held is not None:
            yield held

    @property
    def _names(self) -> dict[str, str | None]:
        return _name_columns(self.path, self.user, self.item, self.rating)


def read_part(
    path: str | os.PathLike[str],
    part: int,
    parts: int,
    *,
    user: str | None = None,
    item: str | None = None,
    rating: str | None = None,
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
        user: Name of the column of users; one of the usual names if None.
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
    names = _name_columns(path, user, item, rating)
    kept: list[Ratings] = []
    for frame in _read_text(path, characters, "read_part"):
        labels = frame[find_column(frame, "user", names["user"], Path(path).name)]
        mine = [each for each in labels.unique() if _draw_lot(each, parts) == part]
        chosen = frame[labels.isin(mine)]
        if len(chosen):
            kept.append(collect_frame(chosen, names, Path(path).name, _name_lines(path, chosen),
                                      {"scale": scale, "keep_last": False}))  # fmt: skip
    if not kept:
        raise ValueError(
            f"read_part: no user of '{Path(path).name}' falls to part {part} of {parts}; expected "
            "more users than parts. Use fewer processes."
        )
    users = _join([each.user_ids[each.users] for each in kept])
    items = _join([each.item_ids[each.items] for each in kept])
    values = np.concatenate([each.values for each in kept])
    return collect_ratings(users, items, values, item_ids=item_ids)


def _read_text(
    path: str | os.PathLike[str], characters: int, called: str
) -> Iterator[pandas.DataFrame]:
    file = Path(path)
    if file.suffix.lower() == ".parquet":
        raise ValueError(
            f"{called}: '{file.name}' is Parquet; expected a text file. Write the table as CSV, "
            "or read it whole: read_ratings(path)."
        )
    yield from read_pieces(file, file.suffix.lower() in (".csv", ".tsv"), characters)


def _name_columns(
    path: str | os.PathLike[str], user: str | None, item: str | None, rating: str | None
) -> dict[str, str | None]:
    if Path(path).suffix.lower() not in (".csv", ".tsv"):
        return {"user": "user", "item": "item", "rating": "rating", "time": "time"}
    return {"user": user, "item": item, "rating": rating, "time": None}


def _name_lines(path: str | os.PathLike[str], frame: pandas.DataFrame) -> object:
    lines, name = frame.index.to_numpy(), Path(path).name
    return lambda at: f"line {lines[at]} of '{name}'"


def _collect(
    frame: pandas.DataFrame, stream: RatingStream, scale: tuple[float, float] | None
) -> Ratings:
    name = Path(stream.path).name
    checks = {"scale": scale, "keep_last": False}
    return collect_frame(frame, stream._names, name, _name_lines(stream.path, frame), checks)


def _draw_lot(label: str, parts: int) -> int:
    return zlib.crc32(str(label).strip().encode()) % parts


def _join(labels: list[np.ndarray]) -> np.ndarray:
    """Labels of all pieces; text where any is."""
    if len({each.dtype.kind for each in labels}) > 1:
        labels = [each.astype(str) for each in labels]
    return np.concatenate(labels)


def _refuse_kinds(path: str | os.PathLike[str], name: str, labels: np.ndarray) -> None:
    raise ValueError(
        f"RatingStream: the {name}s of '{Path(path).name}' are integers in one block and text in "
        f"another, {labels[0].item()!r} first; expected one of the two. Put a letter before each "
        "label, or raise characters=, so that a block holds more."
    )
