"""The units that spectra come in, by the names that astronomers give them.

A table of our own, for the names differ from library to library: "microns" and "ppm" are no units
to astropy, and percent is ``%`` in its files.
"""

from types import MappingProxyType

__all__ = ["RADIUS_RATIO", "find_depth_scale", "find_length_scale"]

# Micrometres. Casefolding makes one of the two characters for micro, and of those for angstrom.
_LENGTHS = MappingProxyType(
    {
        **dict.fromkeys(("um", "μm", "micron", "microns", "micrometer", "micrometers"), 1.0),
        **dict.fromkeys(("micrometre", "micrometres"), 1.0),
        **dict.fromkeys(("nm", "nanometer", "nanometers", "nanometre", "nanometres"), 1e-3),
        **dict.fromkeys(("aa", "å", "a", "angstrom", "angstroms"), 1e-4),
        **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetre", "centimetres"), 1e4),
        **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1e6),
    }
)
RADIUS_RATIO = "rp/rs"
_DEPTHS = MappingProxyType(
    {
        "fraction": 1.0,
        **dict.fromkeys(("percent", "%"), 1e-2),
        "ppm": 1e-6,
        RADIUS_RATIO: 1.0,
    }
)
_DIMENSIONLESS = ("", "1", "-", "dimensionless", "none")


def find_length_scale(unit: str | None, column: str, keyword: str) -> float:
    """Find how many micrometres a unit has.

    Args:
        unit: Name of the unit; None where the file does not tell.
        column: Name of its column.
        keyword: Argument of `read_spectrum` that would tell.

    Returns:
        Micrometres.

    Raises:
        ValueError: The unit is not known.

    Example:
        >>> find_length_scale("Angstrom", "wave", "wavelength_unit")
        0.0001
    """
    if unit is None:
        raise ValueError(
            f"read_spectrum: the file does not tell the unit of '{column}'; expected a length. "
            f"Tell it: {keyword}='um'."
        )
    scale = _LENGTHS.get(unit.strip().casefold())
    if scale is None:
        raise ValueError(
            f"read_spectrum: '{column}' is in {unit!r}, which is no known length; expected um, "
            f"microns, nm, Angstrom, cm or m. Tell it: {keyword}='um'."
        )
    return scale


def find_depth_scale(unit: str | None, column: str, keyword: str) -> tuple[float, bool]:
    """Find what a unit of depth is worth as a fraction, and whether it is of radii.

    Args:
        unit: Name of the unit; None where the file does not tell.
        column: Name of its column.
        keyword: Argument of `read_spectrum` that would tell.

    Returns:
        The scale, and True for a ratio of radii, which has to be squared.

    Raises:
        ValueError: The unit is not known, or is that of a plain number, which tells a depth from a
            ratio of radii not.

    Example:
        >>> find_depth_scale("%", "depth", "depth_unit")
        (0.01, False)
    """
    ways = f"{keyword}='fraction', 'percent', 'ppm' or '{RADIUS_RATIO}'"
    if unit is None:
        raise ValueError(
            f"read_spectrum: the file does not tell the unit of '{column}'. Tell it: {ways}."
        )
    name = unit.strip().casefold()
    if name in _DIMENSIONLESS:
        raise ValueError(
            f"read_spectrum: '{column}' is a plain number, which may be a depth or a ratio of "
            f"radii. Tell it: {keyword}='fraction' or '{RADIUS_RATIO}'."
        )
    if name not in _DEPTHS:
        raise ValueError(
            f"read_spectrum: '{column}' is in {unit!r}, which is no known unit of a depth. Tell "
            f"it: {ways}."
        )
    return _DEPTHS[name], name == RADIUS_RATIO
