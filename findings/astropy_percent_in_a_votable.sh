#!/usr/bin/env bash
# astropy 8.0.2: a column in percent, as transit depths are, written to a VOTable and read back by
# astropy itself has an unrecognised unit and cannot be converted; through FITS it comes back as a
# nameless 0.01; ECSV keeps it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q astropy==8.0.2 numpy==2.4.6
cd "$folder"
OMP_NUM_THREADS=1 JAX_PLATFORMS=cpu env/bin/python -W ignore - <<'EOF'
import io

import astropy
import numpy as np
from astropy import units as u
from astropy.table import Table

table = Table({"depth": np.array([2.1, 2.2]) * u.percent})


def round_trip(kind):
    buffer = io.BytesIO()
    table.write(buffer, format=kind)
    buffer.seek(0)
    return Table.read(buffer, format=kind)["depth"]


votable, fits = round_trip("votable"), round_trip("fits")
try:
    votable.quantity.to(u.dimensionless_unscaled)
    converted = True
except ValueError:
    converted = False
table.write("depth.ecsv")
ecsv = Table.read("depth.ecsv")["depth"].unit
print(f"astropy {astropy.__version__}: VOTable {votable.unit!r}, FITS {fits.unit!r}, ECSV {ecsv!r}")
assert not converted and votable.unit != u.percent
assert fits.unit.to_string() == "0.01"
assert ecsv == u.percent
EOF
