#!/usr/bin/env bash
# Pyro 1.9.2: psis_diagnostic of a guide that is the posterior itself, whose importance weights
# are all equal, is infinity, the worst value there is, with a warning about too few draws at any
# number of them. A guide that is slightly off gets a small k-hat.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q pyro-ppl==1.9.2 torch==2.13.0 numpy
cd "$folder"
OMP_NUM_THREADS=1 JAX_PLATFORMS=cpu env/bin/python -W ignore - <<'EOF'
import pyro
import pyro.distributions as dist
from pyro.infer.importance import psis_diagnostic


def model():
    pyro.sample("x", dist.Normal(0.0, 1.0))


def guide_of(loc):
    return lambda: pyro.sample("x", dist.Normal(loc, 1.0))


pyro.set_rng_seed(0)
perfect = [psis_diagnostic(model, guide_of(0.0), num_particles=n) for n in (1000, 10_000)]
near = psis_diagnostic(model, guide_of(0.05), num_particles=10_000)
print(f"Pyro {pyro.__version__}: k-hat of a perfect guide {perfect}, of one that is off {near:.2f}")
assert perfect == [float("inf")] * 2 and near < 0.5
EOF
