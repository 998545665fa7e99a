"""Labels of users and items as numbers, each distinct label kept once."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["LabelBook", "Labels", "number_labels", "place_labels", "refuse_nul"]

# Labels that are no integers are reported where they are at most this fraction of all.
_FEW = 0.01
_MISSING = ("", "nan", "None", "NaN", "<NA>")


@dataclass(frozen=True, eq=False)
class Labels:
    """A column of labels.

    Args:
        distinct: The labels that occur, sorted, each once.
        codes: ``[rating]``, position among them; int32.
    """

    distinct: np.ndarray
    codes: np.ndarray

    def __len__(self) -> int:
        return len(self.codes)


class LabelBook:
    """Numbers labels that come in piece by piece, in four bytes a rating."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._codes: list[np.ndarray] = []
        # Whole numbers stay such as long as there is nothing else.
        self._integers: list[np.ndarray] = []

    def add(self, column: Any) -> None:
        """Take down a piece of a column.

        Args:
            column: A pandas series of text or of whole numbers.
        """
        import pandas

        values = column.to_numpy()
        if values.dtype.kind in "iu" and not self._known:
            narrow = not len(values) or values.max() < np.iinfo(np.int32).max
            self._integers.append(values.astype(np.int32 if narrow else np.int64))
            return
        for numbers in self._integers:
            self._add_text(*pandas.factorize(numbers))
        self._integers = []
        self._add_text(*pandas.factorize(column))

    def _add_text(self, codes: np.ndarray, distinct: Any) -> None:
        known = self._known
        numbers = [known.setdefault(str(label).strip(), len(known)) for label in distinct]
        self._codes.append(np.asarray(numbers, dtype=np.int32)[codes])

    def close(self) -> Labels:
        """All labels; as integers where every one is written as such."""
        if self._integers:
            values = np.concatenate(self._integers)
            self._integers = []
            return Labels(*_rank_integers(values))
        distinct = read_integers(np.asarray(list(self._known), dtype=str))
        order = np.argsort(distinct, kind="stable")
        rank = np.empty(len(order), dtype=np.int32)
        rank[order] = np.arange(len(order), dtype=np.int32)
        codes = np.concatenate(self._codes) if self._codes else np.empty(0, dtype=np.int32)
        return Labels(distinct[order], rank[codes])


def _rank_integers(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct values, sorted, and the position of each among them."""
    largest = int(values.max()) if len(values) else -1
    if not len(values) or values.min() < 0 or largest > 2**20 + 4 * len(values):
        distinct, codes = np.unique(values, return_inverse=True)
        return distinct.astype(np.int64, copy=False), codes.astype(np.int32)
    present = np.zeros(largest + 1, dtype=bool)
    present[values] = True
    rank = np.cumsum(present, dtype=np.int32) - np.int32(1)
    return np.flatnonzero(present).astype(np.int64, copy=False), rank[values]


def read_integers(text: np.ndarray) -> np.ndarray:
    """Integers where all labels are written as such, else the text.

    Args:
        text: ``[label]``.

    Returns:
        ``[label]``.
    """
    try:
        numbers = text.astype(np.int64)
    except (ValueError, OverflowError):
        return text
    # "007" and "7" are two labels, which as integers would be one.
    return numbers if np.array_equal(numbers.astype(str), text.astype(str)) else text


def number_labels(labels: Any) -> Labels:
    """Number the labels of a column.

    Args:
        labels: ``[rating]``, text or numbers.

    Returns:
        The labels.

    Raises:
        ValueError: Two labels differ in type alone.
    """
    given = np.asarray(labels)
    labels = given
    # Beyond 2^53 neighbouring integers are the same number.
    if labels.dtype.kind == "f" and np.all(np.abs(labels) < 2.0**53):
        whole = labels.astype(np.int64)
        labels = whole if np.array_equal(whole, labels) else labels
    elif labels.dtype.kind in "OUST":
        labels = labels.astype(str)
    if labels.dtype.kind in "iu" and labels.dtype != np.uint64:
        return Labels(*_rank_integers(labels))
    distinct, codes = np.unique(labels, return_inverse=True)
    if given.dtype.kind == "O" and len(set(given.tolist())) > len(distinct):
        raise ValueError(
            f"read_ratings: of {len(set(given.tolist())):,} labels some differ in type alone, as "
            f"7 and '7' do, and as text they are {len(distinct):,}; expected one type. Convert "
            "them first: [str(label) for label in labels]."
        )
    return Labels(distinct, codes.astype(np.int32))


def refuse_nul(labels: Any, name_place: Callable[[int], str]) -> None:
    """Refuse text with a NUL, at which NumPy would end it: two labels would become one."""
    if isinstance(labels, Labels) or (
        isinstance(labels, np.ndarray) and labels.dtype.kind not in "OT"
    ):
        return
    for at, label in enumerate(labels):
        if isinstance(label, str) and "\0" in label:
            raise ValueError(
                f"read_ratings: {name_place(at)} has the label {label!r} with a NUL character; "
                "expected text without. Take it out: label.replace('\\0', '')."
            )


def _report_odd(labels: Labels, name: str, name_place: Callable[[int], str]) -> None:
    """Say which labels are no integers, where nearly all are: those few make text of all."""
    distinct = labels.distinct
    odd = ~np.strings.isdigit(distinct)
    if not 0 < odd.sum() <= _FEW * len(distinct):
        return
    at = int(np.argmax(odd[labels.codes]))
    warnings.warn(
        f"read_ratings: {name_place(at)} has the {name} {distinct[labels.codes[at]].item()!r}, "
        f"and {len(distinct) - odd.sum():,} of {len(distinct):,} {name}s are integers; all are "
        "read as text, and are asked for as text. Correct the id, if it was to be an integer.",
        stacklevel=2,
    )


def place_labels(
    labels: Labels, known: np.ndarray | None, name: str, name_place: Callable[[int], str]
) -> tuple[np.ndarray, np.ndarray]:
    """Check labels, and find them among known ones.

    Args:
        labels: The labels.
        known: Labels of all users, or items; those that occur if None.
        name: "user" or "item".
        name_place: Says where a rating stands: position -> words.

    Returns:
        ``[rating]``, position of each among the known ones, and these.

    Raises:
        ValueError: A label is missing, negative, no label at all, or unknown.
    """
    distinct = labels.distinct
    if distinct.dtype.kind in "iu":
        wrong = distinct < 0
    elif distinct.dtype.kind == "U":
        wrong = np.isin(distinct, _MISSING)
    elif distinct.dtype.kind == "f":
        wrong = (distinct != np.floor(distinct)) | ~(np.abs(distinct) < 2.0**53)
    else:
        wrong = np.ones(len(distinct), dtype=bool)
    if wrong.any():
        at = int(np.argmax(wrong[labels.codes]))
        raise ValueError(
            f"read_ratings: {name_place(at)} has the {name} "
            f"{distinct[labels.codes[at]].item()!r}; expected text or an integer that is not "
            "negative. Correct the id, or drop the rating."
        )
    if distinct.dtype.kind == "U":
        _report_odd(labels, name, name_place)
    if known is None:
        return labels.codes, distinct
    known = np.asarray(known)
    if known.ndim != 1 or len(np.unique(known)) < max(1, known.size):
        raise ValueError(
            f"read_ratings: {name}_ids has the shape {known.shape} and {len(np.unique(known)):,} "
            f"different labels; expected one axis, and each label once. Write {name}_ids="
            f"np.unique({name}_ids), or leave it out."
        )
    if (known.dtype.kind in "US") != (distinct.dtype.kind in "US"):
        raise ValueError(
            f"read_ratings: {name}s have labels such as {distinct[0].item()!r}, and {name}_ids "
            f"has {known[0].item()!r}; expected text in both or integers in both. Convert: "
            f"{name}_ids.astype({'str' if distinct.dtype.kind in 'US' else 'int'})."
        )
    order = np.argsort(known, kind="stable")
    found = order[np.minimum(np.searchsorted(known, distinct, sorter=order), len(known) - 1)]
    unknown = known[found] != distinct
    if unknown.any():
        at = int(np.argmax(unknown[labels.codes]))
        raise ValueError(
            f"read_ratings: {name_place(at)} has the {name} "
            f"{distinct[labels.codes[at]].item()!r}, which is not among the {len(known):,} in "
            f"{name}_ids. Leave out {name}_ids=, or add it."
        )
    return found.astype(np.int32)[labels.codes], known
