"""Observations as the numbers that a network reads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Features", "Layout", "ObservedSite", "Scaling"]

# A column is heavy-tailed where more than so many of its values lie more than so many robust
# standard deviations away: a network would see nothing else.
_FAR, _SHARE = 8.0, 0.002


@dataclass(frozen=True)
class Layout:
    """How the numbers of an observation lie: what stands alone, then the rows of a set.

    Args:
        vector_width: Numbers that stand alone.
        num_rows: Rows of the set; 0 where there is none.
        row_width: Numbers of a row.
        flagged: Whether the last number of a row says whether the row is there.

    Example:
        >>> Layout(vector_width=3, num_rows=4, row_width=2).width
        11
    """

    vector_width: int
    num_rows: int = 0
    row_width: int = 0
    flagged: bool = False

    @property
    def width(self) -> int:
        """All of them."""
        return self.vector_width + self.num_rows * self.row_width


@dataclass(frozen=True)
class ObservedSite:
    """An observed site as a network reads it.

    Args:
        name: The name in the model's ``sample`` statement.
        shape: Shape of its data.
        set_axis: The axis along which its rows are exchangeable; None where there is none.

    Example:
        >>> ObservedSite("y", shape=(4, 2), set_axis=0).row_width
        2
    """

    name: str
    shape: tuple[int, ...]
    set_axis: int | None = None

    @property
    def size(self) -> int:
        """Numbers of one observation."""
        return math.prod(self.shape)

    @property
    def rows(self) -> int:
        """Exchangeable rows of one observation; 0 where there are none."""
        return 0 if self.set_axis is None else self.shape[self.set_axis]

    @property
    def row_width(self) -> int:
        """Numbers of one row."""
        return self.size // max(1, self.rows)

    def flatten(self, values: np.ndarray) -> np.ndarray:
        """Data ``[simulation, ...]`` as ``[simulation, size]`` or ``[simulation, row, width]``."""
        values = np.asarray(values, float)
        if self.set_axis is None:
            return values.reshape(len(values), -1)
        rows = values.shape[self.set_axis + 1]
        moved = np.moveaxis(values, self.set_axis + 1, 1)
        return moved.reshape(len(values), rows, self.row_width)


@dataclass(frozen=True)
class Scaling:
    """How the columns of a site are brought to mean 0 and standard deviation 1.

    Args:
        center: Medians, ``[column]``.
        reach: Robust standard deviations, ``[column]``; 0 where the column is not heavy-tailed.
        loc: Means after that, ``[column]``.
        scale: Standard deviations after that, ``[column]``.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> scaling = Scaling.read(rng.standard_cauchy((10_000, 1)))
        >>> bool(abs(scaling.apply(np.array([[1e6]]))) < 20)
        True
    """

    center: np.ndarray
    reach: np.ndarray
    loc: np.ndarray
    scale: np.ndarray

    @classmethod
    def read(cls, columns: np.ndarray) -> Scaling:
        """The scaling of columns ``[row, column]``; NaN are values that are missing."""
        low, center, high = np.nanquantile(columns, [0.16, 0.5, 0.84], axis=0)
        spread = (high - low) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            far = np.abs(columns - center) > _FAR * spread
        heavy = (far.mean(0) > _SHARE) & (spread > 0)
        scaling = cls(center, np.where(heavy, spread, 0.0), np.zeros(1), np.ones(1))
        bent = scaling.apply(columns)
        scale = np.nanstd(bent, axis=0)
        return cls(center, scaling.reach, np.nanmean(bent, axis=0), np.where(scale > 0, scale, 1))

    def apply(self, columns: np.ndarray) -> np.ndarray:
        """Columns ``[..., column]``, standardised; heavy tails are drawn in by ``arcsinh``."""
        away = columns - self.center
        bent = np.arcsinh(away / np.where(self.reach > 0, self.reach, 1.0))
        scaled: np.ndarray = (np.where(self.reach > 0, bent, away) - self.loc) / self.scale
        return scaled


@dataclass(frozen=True)
class Features:
    """Observations as rows of numbers: first what stands alone, then the rows of a set.

    Where values may be missing, each number is followed by a flag that says whether it is there,
    and each row by one that says whether the row is.

    Args:
        sites: The observed sites.
        scalings: ``{site: scaling}``.
        missing: Whether values and rows may be missing.

    Example:
        >>> site = ObservedSite("y", shape=(4, 2), set_axis=0)
        >>> y = np.random.default_rng(0).normal(3.0, 2.0, size=(1000, 4, 2))
        >>> features = Features.read([site], {"y": y})
        >>> read = features.apply({"y": y})
        >>> read.shape, features.layout
        ((1000, 8), Layout(vector_width=0, num_rows=4, row_width=2, flagged=False))
        >>> bool(abs(read.mean()) < 0.1), bool(abs(read.std() - 1) < 0.1)
        (True, True)
    """

    sites: tuple[ObservedSite, ...]
    scalings: Mapping[str, Scaling]
    missing: bool = False

    @classmethod
    def read(
        cls,
        sites: Sequence[ObservedSite],
        observed: Mapping[str, np.ndarray],
        missing: bool = False,
    ) -> Features:
        """Learn the scaling from simulations ``{site: array[simulation, ...]}``.

        Raises:
            ValueError: A site is the same in all simulations.
        """
        scalings = {}
        for site in sites:
            columns = site.flatten(observed[site.name])
            columns = columns.reshape(-1, columns.shape[-1])
            if (np.nanmin(columns, 0) == np.nanmax(columns, 0)).all():
                raise ValueError(
                    f"NPE: observed site '{site.name}' is the same in all simulations "
                    f"({columns.ravel()[0]:g}) and tells nothing; expected one that depends on "
                    "the latent sites. Leave it out of observed=, or check the model."
                )
            scalings[site.name] = Scaling.read(columns)
        return cls(tuple(sites), scalings, missing)

    @property
    def layout(self) -> Layout:
        """How the numbers lie."""
        copies = 1 + self.missing
        row_width = copies * sum(site.row_width for site in self.sites if site.rows)
        return Layout(
            vector_width=copies * sum(site.size for site in self.sites if not site.rows),
            num_rows=max((site.rows for site in self.sites), default=0),
            row_width=row_width and row_width + self.missing,
            flagged=self.missing,
        )

    def apply(self, observed: Mapping[str, np.ndarray]) -> np.ndarray:
        """Observations as a network reads them.

        Args:
            observed: ``{site: array[observation, ...]}``; NaN where a value is missing.

        Returns:
            ``[observation, layout.width]``, float32.
        """
        alone: list[np.ndarray] = []
        rows: list[np.ndarray] = []
        for site in self.sites:
            columns = self.scalings[site.name].apply(site.flatten(observed[site.name]))
            (rows if site.rows else alone).append(columns)
        parts = [self._mark(part, row=False) for part in alone]
        if rows:
            together = self._mark(np.concatenate(rows, -1), row=True)
            parts.append(together.reshape(len(together), -1))
        return np.concatenate(parts, 1).astype(np.float32)

    def hide(self, features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Features with rows and values missing at random, for a network to learn from.

        Half of the observations stay whole; the others keep numbers of rows and values that are
        uniform, so that no number is strange to the network.
        """
        if not self.missing:
            return features
        hidden, count, layout = features.copy(), len(features), self.layout
        thinned = rng.uniform(size=count) < 0.5
        alone = hidden[:, : layout.vector_width].reshape(count, -1, 2)
        share = np.where(thinned, rng.uniform(size=count), 0.0)
        alone[rng.uniform(size=alone.shape[:2]) < share[:, None]] = 0.0
        hidden[:, : layout.vector_width] = alone.reshape(count, -1)
        if not layout.num_rows:
            return hidden
        rows = hidden[:, layout.vector_width :].reshape(count, -1, layout.row_width)
        pairs = rows[..., :-1].reshape(count, rows.shape[1], -1, 2)
        if pairs.shape[2] > 1:
            pairs[rng.uniform(size=pairs.shape[:3]) < share[:, None, None]] = 0.0
        rows[..., :-1] = pairs.reshape(count, rows.shape[1], -1)
        rows[..., -1] = pairs[..., 1].any(-1)
        place = rng.permuted(np.tile(np.arange(rows.shape[1]), (count, 1)), axis=1)
        rows[thinned[:, None] & (place >= rng.integers(1, rows.shape[1] + 1, (count, 1)))] = 0.0
        hidden[:, layout.vector_width :] = rows.reshape(count, -1)
        return hidden

    def _mark(self, columns: np.ndarray, *, row: bool) -> np.ndarray:
        """Columns with their flags, where there are flags."""
        if not self.missing:
            return columns
        there = np.isfinite(columns)
        pairs = np.stack([np.where(there, columns, 0.0), there], -1)
        marked = pairs.reshape(*columns.shape[:-1], -1)
        if not row:
            return marked
        return np.concatenate([marked, there.any(-1, keepdims=True)], -1)
