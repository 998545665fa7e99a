"""A spectrum as astronomers keep it: columns of wavelengths and depths, in any order and unit."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.exoplanet.columns import Column, check_errors, check_lower, check_wavelengths
from models.exoplanet.text_tables import TextTable, read_table
from models.exoplanet.units import find_depth_scale, find_length_scale

__all__ = ["Spectrum", "read_spectrum"]

_Name = str | int


@dataclass(frozen=True, eq=False, repr=False)
class Spectrum:
    """A transmission spectrum, wavelengths ascending.

    Attributes:
        wavelength: ``[bin]``, micrometres.
        depth: ``[bin]``, fraction of the star's light.
        error: ``[bin]``, one standard deviation of the depth; of two errors the mean.
        lower: ``[bin]``, error towards shallower transits.
        upper: ``[bin]``, error towards deeper ones.
        edges: ``[bin, 2]``, both ends of the bins in micrometres; None where nobody told.
        dropped: Numbers of the lines that were left out because a number was missing.
        source: Name of the file.
    """

    wavelength: np.ndarray
    depth: np.ndarray
    error: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    edges: np.ndarray | None
    dropped: tuple[int, ...]
    source: str

    def __repr__(self) -> str:
        dropped = f", {len(self.dropped)} rows dropped" if self.dropped else ""
        return (
            f"Spectrum({self.source}: {len(self.wavelength)} bins from {self.wavelength[0]:.4g} "
            f"to {self.wavelength[-1]:.4g} um{dropped})"
        )


def read_spectrum(
    path: str | Path,
    *,
    wavelength: _Name | None = None,
    depth: _Name | None = None,
    error: _Name | tuple[_Name, _Name] | None = None,
    half_width: _Name | None = None,
    edges: tuple[_Name, _Name] | None = None,
    wavelength_unit: str | None = None,
    depth_unit: str | None = None,
    error_unit: str | None = None,
) -> Spectrum:
    """Read a transmission spectrum from ECSV or from plain columns.

    Rows in which a number is missing or not finite are left out, and counted in the result.
    Everything else that cannot be meant is refused.

    Args:
        path: File; see `read_table` for what is read.
        wavelength: Column of the wavelengths, by name or by place from 0; None looks for a usual
            name, and takes the first of three columns without names.
        depth: Column of the depths; None as above, the second of three.
        error: Column of the errors, or two: that towards deeper and that towards shallower
            transits, of which the latter may be negative throughout. None as above, the third.
        half_width: Column of half the widths of the bins, in the unit of the wavelengths.
        edges: Columns of the ends of the bins, in the unit of the wavelengths; not both.
        wavelength_unit: um, microns, nm, Angstrom, cm or m; None where the file tells.
        depth_unit: fraction, percent, ppm, or rp/rs for a ratio of radii, whose square is the
            depth; None where the file tells.
        error_unit: Unit of the errors; None where the file tells, else that of the depths. Errors
            of a ratio of radii are carried to the depth to first order.

    Returns:
        The spectrum.

    Raises:
        ValueError: A column is missing, a unit is not known, an error is not positive, a
            wavelength comes twice, or a depth is not below one; the message tells the line.
    """
    table = read_table(Path(path))
    both = error if isinstance(error, tuple) else (error, error)
    columns = [
        table.read_column(wavelength, "wavelength"),
        table.read_column(depth, "depth"),
        *(table.read_column(each, "error") for each in both),
        *_read_bounds(table, half_width, edges),
    ]
    kept = np.isfinite([column.values for column in columns]).all(0)
    dropped = columns[0].lines[~kept]
    if not kept.any():
        raise ValueError(
            f"read_spectrum: every row of {table.source} lacks a number in one of "
            f"{list(dict.fromkeys(column.name for column in columns))}; expected whole rows. "
            "Choose other columns."
        )
    rows = np.flatnonzero(kept)
    rows = rows[np.argsort(columns[0].values[rows], kind="stable")]
    length, found, upper, lower, *bounds = (column.take(rows) for column in columns)

    check_wavelengths(length)
    if isinstance(error, tuple):
        lower = check_lower(lower, upper)
    check_errors(upper)
    check_errors(lower)
    depths, slope = _scale_depth(found, depth_unit)
    slopes = [slope * _scale_error(each, error_unit, found, depth_unit) for each in (upper, lower)]
    up, down = upper.values * slopes[0], lower.values * slopes[1]
    scale = find_length_scale(wavelength_unit or length.unit, length.name, "wavelength_unit")
    ends = _find_edges(length, bounds)
    return Spectrum(
        wavelength=length.values * scale,
        depth=depths,
        error=(up + down) / 2,
        lower=down,
        upper=up,
        edges=None if ends is None else ends * scale,
        dropped=tuple(dropped.tolist()),
        source=table.source,
    )


def _read_bounds(
    table: TextTable, half_width: _Name | None, edges: tuple[_Name, _Name] | None
) -> list[Column]:
    if half_width is not None and edges is not None:
        raise ValueError(
            f"read_spectrum: both half_width={half_width!r} and edges={edges!r} are given; "
            f"expected one of them. Leave one out: edges={edges!r}."
        )
    if half_width is not None:
        return [table.read_column(half_width, "half_width")]
    return [table.read_column(each, "edges") for each in edges or ()]


def _scale_depth(column: Column, unit: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Return depths as fractions, and their slopes in what the column holds, as a fraction."""
    scale, is_ratio = find_depth_scale(unit or column.unit, column.name, "depth_unit")
    values = column.values * scale
    if is_ratio:
        column.refuse(values < 0, "a ratio of radii", "Correct the line.")
    column.refuse(
        values >= 1, "a planet smaller than its star", "Tell another unit: depth_unit='ppm'."
    )
    return (values**2, 2 * values) if is_ratio else (values, np.ones_like(values))


def _scale_error(column: Column, unit: str | None, depth: Column, depth_unit: str | None) -> float:
    """Return what the unit of an error is worth, which is that of the depth if nobody tells."""
    of_depth = depth_unit or depth.unit
    of_error = unit or (of_depth if column.unit in (None, depth.unit) else column.unit)
    _, is_ratio = find_depth_scale(of_depth, depth.name, "depth_unit")
    scale, errs_as_ratio = find_depth_scale(of_error, column.name, "error_unit")
    if is_ratio != errs_as_ratio:
        raise ValueError(
            f"read_spectrum: '{column.name}' of {column.source} is in {of_error!r} and the depth "
            f"in {of_depth!r}; expected both of radii or both of depths. Tell the unit of the "
            "one that is wrong: error_unit='rp/rs'."
        )
    return scale


def _find_edges(length: Column, bounds: list[Column]) -> np.ndarray | None:
    """Return both ends of the bins in the unit of the column, ``[bin, 2]``, short ones first."""
    if not bounds:
        return None
    if len(bounds) == 1:
        width = bounds[0]
        width.refuse(width.values <= 0, "half of a positive width", "Correct the line.")
        return np.stack([length.values - width.values, length.values + width.values], -1)
    ends = np.sort([column.values for column in bounds], 0).T
    outside = (length.values < ends[:, 0]) | (length.values > ends[:, 1])
    length.refuse(
        outside | (ends[:, 0] == ends[:, 1]),
        f"a wavelength between '{bounds[0].name}' and '{bounds[1].name}'",
        "Choose other columns: edges=(short, long).",
    )
    return ends
