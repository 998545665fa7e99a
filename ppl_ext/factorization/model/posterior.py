"""What a fit believes: users, items, noise, and who they are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from ppl_ext.factorization.model.side_posterior import Side

__all__ = ["Labels", "Posterior", "find_rows"]

Labels: TypeAlias = Sequence[Any] | np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class Posterior:
    """The approximate posterior of users and items, with the noise and priors it was made with.

    Args:
        users: The users.
        items: The items.
        biases: Whether the model has biases.
        diagonal: Whether covariances are diagonal.
        center: The constant of the model.
        noise_precision: Of a rating whose weights are one.
        sweeps: Number of sweeps behind it.
    """

    users: Side
    items: Side
    biases: bool
    diagonal: bool
    center: float
    noise_precision: float
    sweeps: int = 0

    @property
    def num_factors(self) -> int:
        """Length of the factors."""
        return self.users.dim - (1 if self.biases else 0)

    @property
    def sides(self) -> tuple[tuple[str, Side], tuple[str, Side]]:
        """The sides by the names of their sites and plates: "user" and "item"."""
        return ("user", self.users), ("item", self.items)

    def find_users(self, labels: Labels, unknown: str = "raise") -> np.ndarray:
        """Rows of users, of the shape of their labels.

        Args:
            labels: Their labels.
            unknown: "raise" a KeyError where one is unknown, or "prior" for the row -1.

        Returns:
            The rows.

        Raises:
            KeyError: One is unknown, or all labels are of another kind than those here.
        """
        return _expect_known(self.users.ids, labels, "user", unknown)

    def find_items(self, labels: Labels, unknown: str = "raise") -> np.ndarray:
        """Rows of items, as `find_users` finds those of users."""
        return _expect_known(self.items.ids, labels, "item", unknown)


def find_rows(ids: np.ndarray, labels: Labels) -> np.ndarray:
    """Positions of labels among others.

    Args:
        ids: The labels that are known.
        labels: Those to find, of any shape.

    Returns:
        Their positions; -1 where a label is unknown.
    """
    wanted = _read_labels(labels)
    if not _are_alike(ids, wanted):
        return np.full(wanted.shape, -1, dtype=np.intp)
    order = np.argsort(ids, kind="stable")
    rows = order[np.minimum(np.searchsorted(ids, wanted, sorter=order), len(ids) - 1)]
    return np.where(ids[rows] == wanted, rows, -1)


def _read_labels(labels: Labels) -> np.ndarray:
    wanted = np.asarray(labels)
    # Text as pandas keeps it.
    return np.asarray(wanted.tolist()) if wanted.dtype.kind in "OT" else wanted


def _are_alike(ids: np.ndarray, wanted: np.ndarray) -> bool:
    """True where labels can be among others: both numbers, or both text."""
    numbers = "biuf"
    return len(ids) > 0 and (wanted.dtype.kind in numbers) == (ids.dtype.kind in numbers)


def _expect_known(ids: np.ndarray, labels: Labels, name: str, unknown: str) -> np.ndarray:
    if unknown not in ("raise", "prior"):
        raise ValueError(
            f"Factors: unknown={unknown!r}; expected 'prior', to predict from the prior, or "
            "'raise'. Leave it out."
        )
    rows = find_rows(ids, labels)
    # Text where labels are integers is a mistake and no newcomer.
    if unknown == "prior" and _are_alike(ids, _read_labels(labels)):
        return rows
    if np.any(rows < 0):
        first = np.atleast_1d(_read_labels(labels))[np.atleast_1d(rows) < 0].tolist()[0]
        such = (
            f"one of {len(ids):,} such as {ids[0].item()!r}" if len(ids) else "none: none is kept"
        )
        raise KeyError(
            f"Factors: {name} {first!r} is unknown; expected {such}. Add it by its ratings: "
            f"factors.fold_in_{name}s(ratings); one without any has to be there before the fit: "
            f"read_ratings(source, {name}_ids=...)."
        )
    return rows
