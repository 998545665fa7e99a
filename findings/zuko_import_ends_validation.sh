#!/usr/bin/env bash
# zuko 1.6.0 with torch 2.13.0: importing zuko switches the argument validation of
# torch.distributions off for the whole process. A scale of -1, an error before the import, gives
# NaN after it, in code that never uses a flow.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q torch==2.13.0 zuko==1.6.0 numpy
cd "$folder"
OMP_NUM_THREADS=1 JAX_PLATFORMS=cpu env/bin/python -W ignore - <<'EOF'
import torch
from torch.distributions import Normal

try:
    Normal(0.0, -1.0)
except ValueError:
    before = "ValueError"
from importlib.metadata import version

import zuko  # noqa: F401

after = Normal(0.0, -1.0).log_prob(torch.tensor(0.0))
print(f"zuko {version('zuko')}, torch {torch.__version__}: before {before}, after {after}")
assert before == "ValueError" and after.isnan()
EOF
