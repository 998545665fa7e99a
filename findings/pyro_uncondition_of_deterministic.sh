#!/usr/bin/env bash
# Pyro 1.9.2: poutine.uncondition takes the values of deterministic sites for data: they turn into
# latent sites with a Delta distribution, which no automatic guide and no NUTS can follow, and
# conditioning the rest again does not bring them back.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q pyro-ppl==1.9.2 torch==2.13.0 numpy
cd "$folder"
OMP_NUM_THREADS=1 env/bin/python -W ignore - <<'EOF'
import pyro
import pyro.distributions as dist
import torch
from pyro import poutine


def model():
    mu = pyro.sample("mu", dist.Normal(0.0, 1.0))
    pyro.deterministic("double", 2 * mu)
    pyro.sample("y", dist.Normal(mu, 1.0), obs=torch.tensor(0.5))


simulated = poutine.condition(poutine.uncondition(model), data={"y": torch.tensor(1.0)})
trace = poutine.trace(simulated).get_trace()
found = {name: trace.nodes[name]["is_observed"] for name in ("mu", "double", "y")}
latent = [name for name in trace.stochastic_nodes]
print(f"Pyro {pyro.__version__}: observed {found}, latent sites {latent}")
assert latent == ["mu", "double"] and found["y"]
EOF
