"""Which light the gas stops: hand-set absorption bands, and scattering by hydrogen.

Cross-sections are in barn, 1e-24 cm2 a molecule, wavelengths in micrometres. Each molecule has a
floor and a handful of bands, and a band is a Gaussian in the logarithm of the wavelength with
broad wings::

    d = ln(wavelength / centre) / width
    cross-section = floor + sum over bands of peak [exp(-d^2 / 2) + WING exp(-|d| / WING_LENGTH)]

Centres, peaks and widths were set by hand to what line lists show at 800 to 1,000 K and a
resolution of about 100; those of water were then moved by eye, by up to 0.4 in log10, towards the
spectrum of WASP-39b by NIRISS. They are **not** line lists: no temperature, no pressure, no lines.
A posterior has the shape of a real one, with its degeneracies; abundances from real data are a
direction to look in, not a measurement.
"""

from dataclasses import dataclass

import numpy as np

__all__ = [
    "BANDS",
    "FLOORS",
    "HELIUM_MASS",
    "HELIUM_TO_HYDROGEN",
    "HYDROGEN_MASS",
    "MASSES",
    "MOLECULES",
    "RAYLEIGH",
    "RAYLEIGH_WAVELENGTH",
    "WING",
    "WING_LENGTH",
    "Bands",
]

# Atomic mass units, and log10 of the floor in cm2 a molecule.
_MOLECULES = {
    "H2O": (18.015, -24.6),
    "CO2": (44.010, -26.5),
    "CO": (28.010, -27.5),
    "CH4": (16.043, -25.3),
    "NH3": (17.031, -25.5),
    "SO2": (64.064, -26.5),
    "H2S": (34.080, -26.0),
}
# Centre in micrometres, log10 of the peak in cm2 a molecule, width in ln(wavelength).
_BANDS = {
    "H2O": (
        *((0.72, -24.1, 0.014), (0.82, -23.7, 0.016), (0.93, -22.1, 0.013), (0.96, -22.3, 0.018)),
        *((1.12, -21.7, 0.014), (1.16, -21.9, 0.022), (1.355, -20.9, 0.016), (1.42, -20.7, 0.026)),
        *((1.50, -22.0, 0.035), (1.80, -21.2, 0.018), (1.86, -20.6, 0.018), (1.93, -20.9, 0.025)),
        *((2.02, -21.9, 0.025), (2.55, -20.2, 0.028), (2.68, -19.7, 0.025), (2.80, -19.8, 0.035)),
        *((3.0, -20.5, 0.050), (3.3, -21.5, 0.060), (3.8, -22.4, 0.10), (4.6, -21.6, 0.07)),
        *((6.3, -19.4, 0.10), (40.0, -19.2, 0.42)),
    ),
    "CO2": (
        *((1.44, -23.9, 0.012), (1.60, -24.0, 0.012), (2.01, -22.5, 0.016)),
        *((2.72, -20.4, 0.018), (4.30, -18.4, 0.022), (15.0, -19.0, 0.055)),
    ),
    "CO": ((1.57, -24.6, 0.012), (2.34, -21.9, 0.018), (4.67, -19.6, 0.030)),
    "CH4": (
        *((1.16, -23.2, 0.020), (1.38, -22.4, 0.030), (1.67, -21.2, 0.035)),
        *((2.32, -20.6, 0.045), (3.32, -19.3, 0.055), (7.7, -19.4, 0.075)),
    ),
    "NH3": (
        *((1.22, -23.6, 0.020), (1.51, -21.9, 0.030), (1.98, -21.4, 0.035), (2.25, -21.7, 0.030)),
        *((2.97, -20.8, 0.040), (6.15, -19.8, 0.070), (10.5, -19.0, 0.120)),
    ),
    "SO2": ((4.05, -20.6, 0.012), (7.35, -19.0, 0.020), (8.7, -19.7, 0.025)),
    "H2S": (
        *((1.58, -23.2, 0.020), (1.95, -22.7, 0.025), (2.63, -21.7, 0.030)),
        (3.78, -21.9, 0.030),
    ),
}
_BARN = 1e-24  # cm2

WING = 3e-3
WING_LENGTH = 1.6

# Helium to hydrogen by number, as in the Sun, and what hydrogen scatters: from 0.35 um on it falls
# with the fourth power of the wavelength (Lecavelier des Etangs et al. 2008, Rayleigh scattering
# in the transit spectrum of HD 189733b, A&A 481 L83; MacDonald, Madhusudhan 2017, HD 209458b in
# new light, MNRAS 469, 1979).
HELIUM_TO_HYDROGEN = 0.17
HYDROGEN_MASS = 2.016
HELIUM_MASS = 4.0026
RAYLEIGH = 5.31e-27 / _BARN
RAYLEIGH_WAVELENGTH = 0.35


@dataclass(frozen=True)
class Bands:
    """All bands of all molecules in a row.

    Attributes:
        molecule: ``[band]``, place of the molecule in `MOLECULES`.
        centre: ``[band]``, micrometres.
        peak: ``[band]``, barn.
        width: ``[band]``, in the logarithm of the wavelength.
    """

    molecule: np.ndarray
    centre: np.ndarray
    peak: np.ndarray
    width: np.ndarray


def _list_bands() -> Bands:
    rows = [
        (place, centre, 10**log_peak / _BARN, width)
        for place, molecule in enumerate(_MOLECULES)
        for centre, log_peak, width in _BANDS[molecule]
    ]
    molecule, centre, peak, width = np.array(rows).T
    return Bands(molecule.astype(int), centre, peak, width)


MOLECULES = tuple(_MOLECULES)
MASSES = np.array([mass for mass, _ in _MOLECULES.values()])
FLOORS = np.array([10**log_floor / _BARN for _, log_floor in _MOLECULES.values()])
BANDS = _list_bands()
