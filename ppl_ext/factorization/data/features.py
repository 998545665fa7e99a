"""Features of users or items as a checked matrix, one row for each label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    import pandas

__all__ = ["FeatureTable", "read_features"]

FeatureTable: TypeAlias = np.ndarray | sparse.csr_array
# The regression on them inverts a matrix of so many rows and keeps the inverse.
_MOST = 5000


def read_features(
    source: Any, called: str, labels: np.ndarray | None, names: Sequence[str] | None = None
) -> tuple[np.ndarray, tuple[str, ...], FeatureTable]:
    """Read a table of features and put its rows into the order of the labels.

    Args:
        source: A pandas frame whose index holds the labels, a tuple of labels and a matrix, or a
            matrix ``[row, feature]`` in the order of ``labels``; matrices are dense or SciPy's.
        called: Function and argument, for the messages.
        labels: Labels that need a row each, and no others; those of the source if None.
        names: What the columns must be called; a matrix without names needs as many columns.

    Returns:
        The labels, names of the features, and ``[row, feature]`` in double precision.

    Raises:
        ValueError: A label is unknown, missing or there twice, a value is not finite, or the
            columns are others than ``names``.
        TypeError: The source is none of the above, or a column holds no numbers.
    """
    columns: tuple[str, ...] | None = None
    if type(source).__module__.partition(".")[0] == "pandas" and hasattr(source, "columns"):
        own, columns, matrix = _open_frame(source, called)
    elif isinstance(source, tuple) and len(source) == 2:
        own, matrix = np.asarray(source[0]), _open_matrix(source[1], called)
        own = own.astype(str) if own.dtype.kind == "O" else own
    elif labels is not None:
        own, matrix = labels, _open_matrix(source, called)
    else:
        raise ValueError(
            f"{called} has no labels; expected to know whose rows these are. Pass a pandas frame "
            "with the labels as its index, or a tuple (labels, matrix)."
        )
    if matrix.ndim != 2 or own.ndim != 1 or matrix.shape[0] != len(own):
        raise ValueError(
            f"{called} has the shape {matrix.shape} for {own.size:,} labels; expected a row for "
            "each label and a column for each feature. A single feature is a column: x[:, None]."
        )
    if not 1 <= matrix.shape[1] <= _MOST:
        raise ValueError(
            f"{called} has {matrix.shape[1]:,} features; expected 1 to {_MOST:,}. Project them on "
            "fewer columns first: u, s, _ = scipy.sparse.linalg.svds(features, k=100); u * s."
        )
    if names is not None:
        matrix = _match_columns(matrix, columns, tuple(names), called)
        columns = tuple(names)
    columns = columns or tuple(f"feature {number}" for number in range(matrix.shape[1]))
    _check_values(matrix, own, columns, called)
    if labels is None:
        _check_distinct(own, called)
        return own, columns, matrix
    return labels, columns, matrix[_align(own, labels, called)]


def _open_frame(
    frame: pandas.DataFrame, called: str
) -> tuple[np.ndarray, tuple[str, ...], np.ndarray]:
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise ValueError(
            f"{called} has two columns called '{twice}'; expected names of their own. Rename one."
        )
    for name in frame.columns:
        if frame[name].dtype.kind not in "biuf":
            raise TypeError(
                f"{called}: column '{name}' is of type {frame[name].dtype}; expected numbers. "
                f"Make a column of each value: pandas.get_dummies(frame, columns=['{name}'])."
            )
    labels = frame.index.to_numpy()
    if labels.dtype.kind not in "iu":
        labels = labels.astype(str)
    values = frame.to_numpy(dtype=np.float64, na_value=np.nan)
    return labels, tuple(map(str, frame.columns)), values


def _open_matrix(matrix: Any, called: str) -> FeatureTable:
    if sparse.issparse(matrix):
        return sparse.csr_array(matrix, dtype=np.float64)
    values = np.asarray(matrix)
    if values.dtype.kind not in "biuf":
        raise TypeError(
            f"{called} is a {type(matrix).__name__} of type {values.dtype}; expected numbers. "
            "Pass a pandas frame, a tuple (labels, matrix), or a dense or sparse matrix."
        )
    return values.astype(np.float64)


def _match_columns(
    matrix: FeatureTable, columns: tuple[str, ...] | None, names: tuple[str, ...], called: str
) -> FeatureTable:
    if columns is None:
        if matrix.shape[1] != len(names):
            raise ValueError(
                f"{called} has {matrix.shape[1]:,} columns; expected the {len(names):,} of the "
                f"fit, {names[0]!r} first. Pass the same columns in the same order."
            )
        return matrix
    odd = sorted(set(columns) ^ set(names))
    if odd:
        where = "is missing here" if odd[0] in names else "was not there in the fit"
        raise ValueError(
            f"{called}: column '{odd[0]}' {where}, and {len(odd) - 1:,} more differ; expected the "
            f"{len(names):,} columns of the fit, '{names[0]}' first. Pass frame[list(names)]."
        )
    return matrix[:, [columns.index(name) for name in names]]


def _check_values(
    matrix: FeatureTable, labels: np.ndarray, columns: tuple[str, ...], called: str
) -> None:
    stored = matrix.data if sparse.issparse(matrix) else matrix
    if np.all(np.isfinite(stored)):
        return
    entries = sparse.coo_array(matrix)
    bad = ~np.isfinite(entries.data)
    row, column = int(entries.row[bad][0]), int(entries.col[bad][0])
    raise ValueError(
        f"{called}: '{columns[column]}' of {labels[row].item()!r} is {entries.data[bad][0]}; "
        "expected a finite number. Fill it, for instance with the column's mean, and add a column "
        "that says where it was missing."
    )


def _check_distinct(labels: np.ndarray, called: str) -> None:
    distinct, counts = np.unique(labels, return_counts=True)
    if len(distinct) < len(labels):
        twice = distinct[counts > 1][0].item()
        raise ValueError(
            f"{called} has {twice!r} more than once; expected one row for each label. Keep one: "
            "frame[~frame.index.duplicated()]."
        )


def _align(own: np.ndarray, labels: np.ndarray, called: str) -> np.ndarray:
    """Positions of the labels among the source's own."""
    if own is labels:
        return np.arange(len(labels))
    _check_distinct(own, called)
    if (own.dtype.kind in "US") != (labels.dtype.kind in "US"):
        raise ValueError(
            f"{called} has labels such as {own[0].item()!r}; expected some like "
            f"{labels[0].item()!r}, as in the ratings. Convert them: frame.index.astype(...)."
        )
    if (unknown := own[~np.isin(own, labels)]).size:
        raise ValueError(
            f"{called} has {unknown[0].item()!r}, and {unknown.size - 1:,} more, of whom there "
            "are no ratings; expected the labels of the ratings. Leave them out of the fit, and "
            "add them to it with fold_in_users or fold_in_items."
        )
    if (missing := labels[~np.isin(labels, own)]).size:
        raise ValueError(
            f"{called} has no row for {missing[0].item()!r}, and {missing.size - 1:,} more; "
            "expected one for each label. Add it: with the mean of each column nothing is "
            "assumed of it."
        )
    order = np.argsort(own, kind="stable")
    return np.asarray(order[np.searchsorted(own, labels, sorter=order)])
