#!/usr/bin/env bash
# NumPyro 0.22.0: at exactly 0 the log densities of Exponential, HalfNormal, HalfCauchy, Gamma(1,
# 1) and Chi2(2) are -inf, although their limits are finite and SciPy gives those. Uniform and
# Beta(1, 1) take their ends. A waiting time or distance recorded as 0 makes every bound -inf.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q numpyro==0.22.0 jax==0.10.2 jaxlib==0.10.2 scipy==1.17.1
cd "$folder"
OMP_NUM_THREADS=1 JAX_PLATFORMS=cpu env/bin/python -W ignore - <<'EOF'
import numpy as np
import numpyro
import numpyro.distributions as dist
from scipy import stats

pairs = [
    (dist.Exponential(1.0), stats.expon()),
    (dist.HalfNormal(1.0), stats.halfnorm()),
    (dist.HalfCauchy(1.0), stats.halfcauchy()),
    (dist.Gamma(1.0, 1.0), stats.gamma(1.0)),
    (dist.Chi2(2.0), stats.chi2(2.0)),
]
for ours, theirs in pairs:
    found, expected = float(ours.log_prob(0.0)), float(theirs.logpdf(0.0))
    print(f"NumPyro {numpyro.__version__}, {type(ours).__name__} at 0: {found}, SciPy {expected:.3f}")
    assert found == -np.inf and np.isfinite(expected)
assert np.isfinite(dist.Uniform(0.0, 1.0).log_prob(0.0))
EOF
