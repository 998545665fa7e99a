"""Coordinates of location-scale sites between centred and non-centred."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

__all__ = ["LocationScale", "PartialCentering"]


class PartialCentering(NamedTuple):
    r"""Coordinates :math:`z` of a location-scale site, between centred and non-centred.

    .. math:: x = l + (s / u)^{1 - \lambda} (z - \lambda l)

    for the location :math:`l` and scale :math:`s` of its prior. The unit lets the coordinates
    follow a change of the units of the data.

    Args:
        degree: :math:`\lambda` in [0, 1]: 1 for the site as it is written, 0 for non-centred.
        unit: :math:`u`, a typical scale.

    Example:
        >>> PartialCentering(degree=np.zeros(2), unit=np.ones(2)).degree.tolist()
        [0.0, 0.0]
    """

    degree: np.ndarray
    unit: np.ndarray


@dataclass(frozen=True)
class LocationScale:
    """The prior of one location-scale site at some draws of all sites.

    Args:
        start: First coordinate of the site.
        stop: One past its last coordinate.
        loc: Location of every entry, ``[draw, stop - start]``.
        scale: Scale of every entry, ``[draw, stop - start]``.

    Example:
        >>> prior = LocationScale(0, 1, loc=np.zeros((2, 1)), scale=np.array([[4.0], [9.0]]))
        >>> prior.varies
        True
        >>> half = PartialCentering(degree=np.full(1, 0.5), unit=np.ones(1))
        >>> prior.decode(np.ones((2, 1)), half).tolist()
        [[2.0], [3.0]]
    """

    start: int
    stop: int
    loc: np.ndarray
    scale: np.ndarray

    @property
    def varies(self) -> bool:
        """Whether location or scale depend on other sites."""
        return bool(np.ptp(self.loc, axis=0).any() or np.ptp(self.scale, axis=0).any())

    @property
    def usable(self) -> np.ndarray:
        """Draws at which the prior is one, ``[draw]``."""
        proper = np.isfinite(self.loc) & np.isfinite(self.scale) & (self.scale > 0)
        every: np.ndarray = proper.all(axis=1)
        return every

    def at(self, draws: np.ndarray) -> "LocationScale":
        """The same prior at some of the draws."""
        return LocationScale(self.start, self.stop, self.loc[draws], self.scale[draws])

    def decode(self, z: np.ndarray, centering: PartialCentering) -> np.ndarray:
        """Values of the site from coordinates ``z[draw, stop - start]``."""
        x: np.ndarray = self.loc + self._ratio(centering) * (z - centering.degree * self.loc)
        return x

    def encode(self, x: np.ndarray, centering: PartialCentering) -> np.ndarray:
        """Coordinates from values ``x[draw, stop - start]``."""
        z: np.ndarray = centering.degree * self.loc + (x - self.loc) / self._ratio(centering)
        return z

    def _ratio(self, centering: PartialCentering) -> np.ndarray:
        ratio: np.ndarray = (self.scale / centering.unit) ** (1 - centering.degree)
        return ratio
