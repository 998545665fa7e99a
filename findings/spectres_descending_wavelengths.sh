#!/usr/bin/env bash
# spectres 2.2.2: a spectrum listed by falling wavelength (as infrared tables by wavenumber are)
# is resampled to NaN, with a warning that the new grid lies outside of the old one, which it does
# not. A finer grid repeats the stated error of a coarse bin in every fine one: ten fine bins of
# one datum count as ten data.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q spectres==2.2.2 numpy==2.4.6
cd "$folder"
OMP_NUM_THREADS=1 JAX_PLATFORMS=cpu env/bin/python -W ignore - <<'EOF'
from importlib.metadata import version

import numpy as np
import spectres

wavelength = np.linspace(1.0, 2.0, 101)
depth, error = np.full(101, 3.0), np.full(101, 0.1)
grid = np.linspace(1.2, 1.8, 7)
rising, _ = spectres.spectres(grid, wavelength, depth, error)
falling, _ = spectres.spectres(grid, wavelength[::-1], depth[::-1], error[::-1])
fine_grid = np.linspace(1.2, 1.8, 601)  # ten bins for each datum
_, fine_error = spectres.spectres(fine_grid, wavelength, depth, error)
print(f"spectres {version('spectres')}: rising {rising[0]}, falling {falling[0]}")
print(f"error of a datum 0.1, of each tenth of it {fine_error.mean():.2f}")
assert np.allclose(rising, 3.0) and np.isnan(falling).all() and fine_error.mean() > 0.09
EOF
