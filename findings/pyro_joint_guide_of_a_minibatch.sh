#!/usr/bin/env bash
# Pyro 1.9.2: AutoDiagonalNormal on a model whose local latents stand in a subsampled plate makes
# parameters for one minibatch: 100 data, 10 a step, a loc of 10 entries that all data share in
# turn. It trains without an error; NumPyro's guide of the same name refuses.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q pyro-ppl==1.9.2 torch==2.13.0 numpy
cd "$folder"
OMP_NUM_THREADS=1 JAX_PLATFORMS=cpu env/bin/python -W ignore - <<'EOF'
import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.autoguide import AutoDiagonalNormal

pyro.set_rng_seed(0)
y = torch.randn(100)


def model(y):
    with pyro.plate("row", len(y), subsample_size=10) as rows:
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        pyro.sample("y", dist.Normal(z, 0.5), obs=y[rows])


guide = AutoDiagonalNormal(model)
svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.02}), Trace_ELBO())
losses = [svi.step(y) for _ in range(50)]
shape = tuple(guide.median(y)["z"].shape)
print(f"Pyro {pyro.__version__}: 100 local latents, the guide has {shape[0]}")
assert shape == (10,) and torch.tensor(losses).isfinite().all()
EOF
