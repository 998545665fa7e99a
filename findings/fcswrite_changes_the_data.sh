#!/usr/bin/env bash
# fcswrite 0.6.4 with its defaults writes other numbers than it was given: a column with a
# negative mean changes its sign, one within 0 and 1 is multiplied by 100, rows with a missing
# value disappear and spaces leave the channel names. Compensated flow-cytometry data have
# negative means.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q fcswrite==0.6.4 flowio==1.4.0 numpy==2.4.6
cd "$folder"
OMP_NUM_THREADS=1 JAX_PLATFORMS=cpu env/bin/python -W ignore - <<'EOF'
from importlib.metadata import version

import fcswrite
import flowio
import numpy as np

data = np.array([[-2.0, 0.25, 1.0], [-1.0, 0.5, np.nan], [-3.0, 0.75, 3.0]])
fcswrite.write_fcs("cells.fcs", ["CD3 A", "share", "size"], data)
back = flowio.FlowData("cells.fcs")
values = np.reshape(back.events, (-1, 3))
print(f"fcswrite {version('fcswrite')}: {back.pnn_labels}")
print(values)
assert back.pnn_labels[0] == "CD3A"
assert np.allclose(values, [[2.0, 25.0, 1.0], [3.0, 75.0, 3.0]])
EOF
