"""The sixteen parameters, the synthetic planet, and the spectrum of WASP-39b.

Depths are fractions of the star's light, wavelengths micrometres. The real spectrum is that of
JWST NIRISS/SOSS at a resolution of 100 (Feinstein et al. 2023, Early Release Science of the
exoplanet WASP-39b with JWST NIRISS, Nature 614, 670, arXiv:2211.10493), from
github.com/afeinstein20/wasp39b_niriss_paper at 0608071, under the MIT licence beside it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.exoplanet.opacities import MOLECULES
from models.exoplanet.spectra import Spectrum, read_spectrum

__all__ = [
    "GAS_CONSTANT",
    "JUPITER_RADIUS",
    "OPACITY_OF_A_BARN",
    "PARAMETERS",
    "REFERENCE_PRESSURE",
    "STAR_RADIUS",
    "SUN_RADIUS",
    "TRUTH",
    "Parameter",
    "make_grid",
    "read_wasp39b",
]

# Centimetre, gram and second.
JUPITER_RADIUS = 7.1492e9  # cm, equatorial, at 1 bar
SUN_RADIUS = 6.957e10  # cm
GAS_CONSTANT = 8.314462618e7  # erg / mol / K
OPACITY_OF_A_BARN = (
    0.602214076  # cm2 / g at one atomic mass unit: 1e-24 cm2 times Avogadro's number
)
BAR = 1e6  # dyn / cm2

REFERENCE_PRESSURE = 10.0  # bar, where the radius of the planet is meant
STAR_RADIUS = 0.939  # of the Sun: WASP-39 (Mancini et al. 2018, A&A 613 A41, arXiv:1802.02199)


@dataclass(frozen=True)
class Parameter:
    """One parameter: a uniform prior, and its value for the synthetic planet.

    Attributes:
        name: Name of its site.
        unit: Its unit.
        low: Lower end of the prior.
        high: Upper end of the prior.
        truth: Value of the synthetic planet, which is like WASP-39b.
        meaning: What it is.
    """

    name: str
    unit: str
    low: float
    high: float
    truth: float
    meaning: str


def _list_parameters() -> tuple[Parameter, ...]:
    truths = dict(zip(MOLECULES, (-2.9, -4.2, -2.6, -6.5, -6.5, -5.5, -4.0), strict=True))
    molecules = [
        Parameter(f"log_{each}", "log10", -8.0, -1.0, truth, f"share of {each}, by number")
        for each, truth in truths.items()
    ]
    return (
        Parameter("radius", "Jupiter radii", 1.05, 1.45, 1.22, "radius at 10 bar"),
        Parameter("temperature", "K", 500.0, 1600.0, 950.0, "of the whole limb"),
        Parameter("log_gravity", "log10 cm/s2", 2.45, 2.80, 2.63, "gravity"),
        *molecules,
        Parameter("log_cloud_pressure", "log10 bar", -5.0, 1.0, -2.2, "top of the grey clouds"),
        Parameter("cloud_cover", "fraction", 0.0, 1.0, 0.6, "of the limb that clouds cover"),
        Parameter("log_haze", "log10", -1.0, 4.0, 0.8, "haze at 0.35 um beside hydrogen"),
        Parameter(
            "haze_slope", "power", 1.0, 8.0, 4.0, "haze falls with this power of wavelength"
        ),
        Parameter("offset", "ppm", -300.0, 300.0, 0.0, "of all depths, by the instrument"),
        Parameter("log_inflation", "log10", 0.0, 1.0, 0.1, "true errors beside the stated ones"),
    )


PARAMETERS = _list_parameters()
TRUTH = {each.name: each.truth for each in PARAMETERS}


def make_grid(
    low: float = 0.6, high: float = 5.3, resolution: float = 60.0
) -> tuple[np.ndarray, np.ndarray]:
    """Make the wavelengths of the synthetic spectrum, and the errors of its depths.

    Args:
        low: Shortest wavelength in micrometres.
        high: Longest wavelength.
        resolution: Wavelength over the width of a bin.

    Returns:
        Wavelengths, ``[bin]`` in micrometres, and errors, ``[bin]``, from 50 ppm in the middle to
        120 ppm at both ends.
    """
    place = np.arange(np.log(low), np.log(high), 1 / resolution)
    wavelength = np.exp(place)
    middle = (place[0] + place[-1]) / 2
    error = 1e-6 * (50 + 70 * ((place - middle) / (place[-1] - middle)) ** 2)
    return wavelength, error


def read_wasp39b() -> Spectrum:
    """Read the spectrum of WASP-39b by NIRISS: 133 bins from 0.63 to 2.79 um."""
    return read_spectrum(
        Path(__file__).with_name("wasp39b_niriss.csv"),
        wavelength="wave",
        wavelength_unit="um",
        half_width="wave_error",
        depth="dppm",
        depth_unit="ppm",
        error="dppm_err",
    )
