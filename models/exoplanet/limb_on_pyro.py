"""The depth of a transit in closed form, in PyTorch: any leading dimensions, gradients everywhere.

An isothermal limb in hydrostatic balance is opaque up to the radius

    R = R0 + H [gamma + E1(tau0) + ln tau0],   tau0 = (kappa P0 / g) sqrt(2 pi R0 / H)

with the scale height H = k T / (m g), the opacity kappa and the optical depth tau0 of the ray that
passes at R0, where the pressure is P0. The bracket is the entire function Ein(tau0), so that a
transparent gas leaves R0. Above a grey deck at the pressure Pc, the same holds from its top on:
Rc = R0 + H ln(P0 / Pc) for R0 and tau0 Pc / P0 for tau0.

References:
    Heng, Kitzmann (2017), The theory of transmission spectra revisited, MNRAS 470, 2972,
    arXiv:1702.02051.
"""

import math

import numpy as np
import torch

from models.exoplanet.data import (
    BAR,
    GAS_CONSTANT,
    JUPITER_RADIUS,
    OPACITY_OF_A_BARN,
    REFERENCE_PRESSURE,
    STAR_RADIUS,
    SUN_RADIUS,
)
from models.exoplanet.integral_coefficients import LARGE_BOTTOM, LARGE_TOP, SERIES
from models.exoplanet.opacities import (
    BANDS,
    FLOORS,
    HELIUM_MASS,
    HELIUM_TO_HYDROGEN,
    HYDROGEN_MASS,
    MASSES,
    MOLECULES,
    RAYLEIGH,
    RAYLEIGH_WAVELENGTH,
    WING,
    WING_LENGTH,
)

__all__ = ["cross_sections", "entire_integral", "transit_depth"]


def transit_depth(wavelength, parameters, star_radius=STAR_RADIUS):
    """Compute the share of the star's light that the planet and its limb stop.

    Args:
        wavelength: ``[bin]``, micrometres.
        parameters: ``{name: array[...]}`` for the names and units of `PARAMETERS`.
        star_radius: Of the Sun.

    Returns:
        Depths, ``[..., bin]``, as fractions.
    """
    given = {name: value[..., None] for name, value in parameters.items()}
    fractions = torch.stack([10 ** parameters[f"log_{name}"] for name in MOLECULES], -1)
    hydrogen = (1 - fractions.sum(-1, keepdim=True)) / (1 + HELIUM_TO_HYDROGEN)
    weights = torch.as_tensor(MASSES).to(fractions)
    mass = (fractions * weights).sum(-1, keepdim=True)
    mass = mass + hydrogen * (HYDROGEN_MASS + HELIUM_TO_HYDROGEN * HELIUM_MASS)

    bluer = torch.log(RAYLEIGH_WAVELENGTH / wavelength)
    haze = 10 ** given["log_haze"] * torch.exp(given["haze_slope"] * bluer)
    absorbed = fractions @ cross_sections(wavelength)
    opacity = absorbed + hydrogen * RAYLEIGH * (torch.exp(4 * bluer) + haze)
    opacity = OPACITY_OF_A_BARN / mass * opacity  # cm2 / g

    gravity = 10 ** given["log_gravity"]  # cm / s2
    height = GAS_CONSTANT / JUPITER_RADIUS * given["temperature"] / (mass * gravity)
    base = given["radius"]  # Jupiter radii, as the height is
    optical_depth = opacity * (REFERENCE_PRESSURE * BAR / gravity)
    optical_depth = optical_depth * torch.sqrt(2 * math.pi * base / height)
    clear = base + height * entire_integral(optical_depth)

    above_reference = math.log(REFERENCE_PRESSURE) - math.log(10) * given["log_cloud_pressure"]
    deck = base + height * above_reference
    cloudy = deck + height * entire_integral(optical_depth * torch.exp(-above_reference))

    cover = given["cloud_cover"]
    area = (1 - cover) * clear**2 + cover * cloudy**2
    depth = (JUPITER_RADIUS / (SUN_RADIUS * star_radius)) ** 2 * area
    return depth + 1e-6 * given["offset"]


def cross_sections(wavelength):
    """Compute the cross-sections of the molecules, ``[molecule, bin]`` in barn."""
    place = torch.log(wavelength)
    centre, width, peak = (
        torch.as_tensor(column).to(place)[:, None]
        for column in (np.log(BANDS.centre), BANDS.width, BANDS.peak)
    )
    distance = (place - centre) / width
    core, wing = torch.exp(-(distance**2) / 2), torch.exp(-torch.abs(distance) / WING_LENGTH)
    floors = torch.as_tensor(FLOORS).to(place)[:, None] + torch.zeros_like(place)
    molecule = torch.as_tensor(BANDS.molecule, device=place.device)
    return floors.index_add(0, molecule, peak * (core + WING * wing))


def entire_integral(t):
    """Ein(t) = gamma + E1(t) + ln t, for t >= 0, with an error below 1e-8."""
    # Each branch sees only numbers that it is made for, or its gradient would be NaN.
    small = t < 1
    low, high = torch.where(small, t, 1.0), torch.where(small, 1.0, t)
    series = low * _polynomial(SERIES, low)
    tail = torch.exp(-high) / high * _polynomial(LARGE_TOP, 1 / high)
    tail = tail / _polynomial(LARGE_BOTTOM, 1 / high)
    return torch.where(small, series, np.euler_gamma + torch.log(high) + tail)


def _polynomial(coefficients, x):
    total = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        total = coefficient + x * total
    return total
