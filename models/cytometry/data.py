"""Cells as the model takes them, and synthetic ones whose populations are known."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

__all__ = ["UNGATED", "UNKNOWN", "CytometryData", "simulate_cells"]

UNGATED = "ungated"  # a population of its own: what the gates have left over
UNKNOWN = -1  # nobody has told


@dataclass(frozen=True, eq=False, repr=False)
class CytometryData:
    """Cells, their files, and what is known of their populations.

    Args:
        values: ``[cell, marker]``, compensated and arcsinh-scaled; finite.
        markers: Names of the columns, each of them once.
        labels: ``[cell]``, places in `populations`, `UNKNOWN` where nobody has told. None where
            nothing is known of any cell.
        populations: Names of the populations.
        file: ``[cell]``, places in `files`. None where there is one.
        files: Names of the files.
        extra: Columns that are no markers and are kept apart, such as time and scatter:
            ``{name: array[cell]}``.

    Raises:
        ValueError: Shapes that do not agree, values that are not finite, a marker that comes
            twice, a label that is no place in `populations`.

    Example:
        >>> CytometryData(np.zeros((3, 2)), ("CD4", "CD8"))
        CytometryData(3 cells of 1 file, 2 markers: CD4, CD8; no labels)
    """

    values: np.ndarray
    markers: tuple[str, ...]
    labels: np.ndarray | None = None
    populations: tuple[str, ...] = ()
    file: np.ndarray | None = None
    files: tuple[str, ...] = ("",)
    extra: dict[str, np.ndarray] | None = None

    def __post_init__(self) -> None:
        count = len(self.values)
        if self.values.shape != (count, len(self.markers)):
            raise ValueError(
                f"CytometryData: values has shape {self.values.shape}, expected [cell, "
                f"{len(self.markers)}], a column for each of the markers."
            )
        if len(set(self.markers)) < len(self.markers):
            twice = sorted({each for each in self.markers if self.markers.count(each) > 1})
            raise ValueError(f"CytometryData: two columns are called {', '.join(twice)}.")
        if not np.isfinite(self.values).all():
            broken = int((~np.isfinite(self.values).all(1)).sum())
            raise ValueError(
                f"CytometryData: {broken} of {count} cells have values that are not finite; keep "
                "the others by `values[np.isfinite(values).all(1)]`."
            )
        for name, index, names in (
            ("labels", self.labels, self.populations),
            ("file", self.file, self.files),
        ):
            if index is None:
                continue
            lowest = UNKNOWN if name == "labels" else 0
            if index.shape != (count,) or not np.isin(index, range(lowest, len(names))).all():
                raise ValueError(
                    f"CytometryData: {name} has shape {index.shape} and values from "
                    f"{index.min(initial=0)} to {index.max(initial=0)}, expected [{count}] whole "
                    f"numbers from {lowest} to {len(names) - 1}."
                )

    def __repr__(self) -> str:
        files = f"{len(self.files)} file{'s' * (len(self.files) != 1)}"
        known = 0 if self.labels is None else int((self.labels != UNKNOWN).sum())
        labels = f"{known} labels of {len(self.populations)} populations" if known else "no labels"
        return (
            f"CytometryData({len(self.values)} cells of {files}, {len(self.markers)} markers: "
            f"{', '.join(self.markers)}; {labels})"
        )

    def with_labels(self, labels: np.ndarray, populations: Sequence[str]) -> "CytometryData":
        """Return the same cells with other labels."""
        return replace(self, labels=labels, populations=tuple(populations))


def simulate_cells(
    count: int = 2000, *, seed: int = 0, share_labelled: float = 1.0
) -> tuple[CytometryData, np.ndarray]:
    """Draw cells of four populations on five markers, some of which have labels.

    Two markers tell the large populations apart and a third one the rare from its neighbour.

    Args:
        count: Number of cells.
        seed: Of the draw.
        share_labelled: Share of the cells whose population is told.

    Returns:
        The data, and the true population of every cell.
    """
    generator = np.random.default_rng(seed)
    shares = np.array([0.5, 0.3, 0.15, 0.05])
    mean = np.array([[3, 0, 0, 2, 1], [0, 3, 0, 2, 1], [0, 0, 3, 2, 0], [0, 0, 3, 2, 3]])
    truth = generator.choice(len(shares), count, p=shares)
    # What each cell has more or less of altogether: markers are correlated within a population.
    size = generator.normal(0, 0.5, (count, 1))
    values = mean[truth] + size + generator.normal(0, 0.6, (count, 5))
    labels = np.where(generator.uniform(size=count) < share_labelled, truth, UNKNOWN)
    markers = ("CD4", "CD8", "CD19", "CD45", "CD27")
    populations = ("CD4 T", "CD8 T", "naive B", "memory B")
    return CytometryData(values, markers, labels, populations), truth
