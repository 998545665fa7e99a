#!/usr/bin/env bash
# SciPy 1.18.1 (Python 3.12): kstest of a sample against "norm" with its documented args=(loc, scale)
# raises a TypeError that speaks of ndtr; "expon" with the same args, and "norm" without, work.
# The frozen stats.norm(loc, scale).cdf is a way round it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.12 -m venv "$folder/env"
"$folder/env/bin/pip" install -q scipy==1.18.1
cd "$folder"
env/bin/python -W ignore - <<'EOF'
import numpy as np
import scipy
from scipy import stats

x = np.random.default_rng(0).normal(2.0, 3.0, size=200)
try:
    stats.kstest(x, "norm", args=(2.0, 3.0))
    told = "no error"
except TypeError as error:
    told = str(error)
frozen = stats.kstest(x, stats.norm(2.0, 3.0).cdf).pvalue
others = stats.kstest(np.abs(x), "expon", args=(0.0, 3.0)).pvalue
print(f"SciPy {scipy.__version__}: norm with args: {told}; frozen {frozen:.2f}; expon {others:.2g}")
assert "ndtr" in told and frozen > 0.01
EOF
