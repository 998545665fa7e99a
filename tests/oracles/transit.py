"""The depth of a transit by quadrature, in SI units: what the closed form of `exoplanet` must be.

The bands are summed one by one, and rays are integrated in two ways: as the closed form has it,
straight through a flat exponential atmosphere, and on true chords through a round one, where the
optical depth at the radius r is 2 kappa rho0 r K1(r/H) exp(R0/H), K1 a Bessel function.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import constants, integrate, special

from models.exoplanet.data import STAR_RADIUS
from models.exoplanet.opacities import (
    BANDS,
    FLOORS,
    HELIUM_MASS,
    HELIUM_TO_HYDROGEN,
    HYDROGEN_MASS,
    MASSES,
    MOLECULES,
)

JUPITER_RADIUS, SUN_RADIUS = 7.1492e7, 6.957e8  # m
REFERENCE_PRESSURE = 10e5  # Pa
RAYLEIGH, RAYLEIGH_WAVELENGTH = 5.31e-31, 0.35  # m2 a hydrogen molecule, um


@dataclass(frozen=True)
class Limb:
    """An isothermal limb at one wavelength, in SI units."""

    base: float  # radius at the reference pressure, m
    height: float  # scale height, m
    opacity: float  # m2 / kg
    gravity: float  # m / s2

    @property
    def optical_depth(self) -> float:
        """Of the ray that passes at the base, in a flat atmosphere."""
        column = REFERENCE_PRESSURE / self.gravity
        return self.opacity * column * math.sqrt(2 * math.pi * self.base / self.height)

    def flat_radius(self, above: float = 0.0) -> float:
        """Integrate a flat limb, opaque up to some scale heights above the base."""

        def stopped(height):
            return -math.expm1(-self.optical_depth * math.exp(-height))

        top = max(above, math.log(self.optical_depth)) + 40
        middle = min(max(math.log(self.optical_depth), above), top)
        pieces = [(above, middle), (middle, top)]
        heights = above + sum(
            integrate.quad(stopped, *piece, epsabs=1e-9, limit=200)[0] for piece in pieces
        )
        return self.base + self.height * heights

    def round_radius(self) -> float:
        """Integrate chords through a round limb."""
        density = REFERENCE_PRESSURE / (self.gravity * self.height)

        def stopped(height):
            radius = self.base + self.height * height
            bessel = special.k1e(radius / self.height)
            depth = 2 * self.opacity * density * radius * bessel * math.exp(-height)
            return -math.expm1(-depth) * radius * self.height

        middle = max(math.log(self.optical_depth), 1.0)
        pieces = [(0.0, middle), (middle, middle + 40)]
        area = sum(integrate.quad(stopped, *piece, limit=200)[0] for piece in pieces)
        return math.sqrt(self.base**2 + 2 * area)


def find_limb(wavelength: float, planet: dict[str, float]) -> Limb:
    """Make the limb of a planet, given as in `PARAMETERS`, at a wavelength in micrometres."""
    shares = {name: 10 ** planet[f"log_{name}"] for name in MOLECULES}
    hydrogen = (1 - sum(shares.values())) / (1 + HELIUM_TO_HYDROGEN)
    mass = hydrogen * (HYDROGEN_MASS + HELIUM_TO_HYDROGEN * HELIUM_MASS)
    mass += sum(share * MASSES[place] for place, share in enumerate(shares.values()))
    mass *= constants.atomic_mass

    rayleigh = RAYLEIGH * (wavelength / RAYLEIGH_WAVELENGTH) ** -4
    haze = 10 ** planet["log_haze"] * RAYLEIGH
    haze *= (wavelength / RAYLEIGH_WAVELENGTH) ** -planet["haze_slope"]
    section = hydrogen * (rayleigh + haze)
    for place, share in enumerate(shares.values()):
        section += share * find_cross_section(wavelength, place)
    gravity = 10 ** planet["log_gravity"] / 100
    return Limb(
        base=planet["radius"] * JUPITER_RADIUS,
        height=constants.k * planet["temperature"] / (mass * gravity),
        opacity=section / mass,
        gravity=gravity,
    )


def find_cross_section(wavelength: float, molecule: int) -> float:
    """Sum the bands of a molecule, m2."""
    total = FLOORS[molecule]
    for place, centre, peak, width in zip(
        BANDS.molecule, BANDS.centre, BANDS.peak, BANDS.width, strict=True
    ):
        distance = abs(math.log(wavelength / centre)) / width
        if place == molecule:
            total += peak * (math.exp(-(distance**2) / 2) + 0.003 * math.exp(-distance / 1.6))
    return total * 1e-28


def find_depth(wavelength: float, planet: dict[str, float]) -> float:
    """Compute the depth of a transit through a flat limb, a fraction."""
    limb = find_limb(wavelength, planet)
    above = math.log(REFERENCE_PRESSURE / 1e5 / 10 ** planet["log_cloud_pressure"])
    clear, cloudy = limb.flat_radius(), limb.flat_radius(above)
    cover = planet["cloud_cover"]
    area = (1 - cover) * clear**2 + cover * cloudy**2
    return area / (STAR_RADIUS * SUN_RADIUS) ** 2 + 1e-6 * planet["offset"]


def find_depths(wavelengths: np.ndarray, planet: dict[str, float]) -> np.ndarray:
    """Compute the depths of a spectrum, fractions."""
    return np.array([find_depth(float(wavelength), planet) for wavelength in wavelengths])
