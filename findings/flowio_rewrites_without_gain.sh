#!/usr/bin/env bash
# flowio 1.4.0: FlowData.write_fcs of a file of floats with a gain and a time step writes the raw
# numbers, resets the gain to 1 and drops the time step. Read back the way it was read before,
# channel 1 is twice as large and time runs ten times faster.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q flowio==1.4.0 numpy==2.4.6
cd "$folder"
OMP_NUM_THREADS=1 JAX_PLATFORMS=cpu env/bin/python -W ignore - <<'EOF'
from importlib.metadata import version

import flowio
import numpy as np

events = np.column_stack([np.arange(1.0, 5.0) * 10, np.arange(4.0)])
described = {"$P1G": "2.0", "$TIMESTEP": "0.1"}
with open("cells.fcs", "wb") as file:
    flowio.create_fcs(file, events.ravel().tolist(), ["FL1-A", "Time"], metadata_dict=described)
first = flowio.FlowData("cells.fcs")
first.write_fcs("again.fcs")
second = flowio.FlowData("again.fcs")
ratio = second.as_array(preprocess=True)[1:] / first.as_array(preprocess=True)[1:]
print(f"flowio {version('flowio')}: gain {first.text['p1g']} -> {second.text['p1g']}, ratios {ratio[0]}")
assert np.allclose(ratio, [2.0, 10.0]) and "timestep" not in second.text
EOF
