#!/usr/bin/env bash
# torch 2.13.0, Pyro 1.9.2: the support of MixtureSameFamily is a constraint of its own for which
# there is no bijection, so that a latent site with a mixture as its prior, of normal components
# even, ends every automatic guide and NUTS with a NotImplementedError.
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
from pyro.infer import MCMC, NUTS
from pyro.infer.autoguide import AutoDiagonalNormal, AutoNormal


def model():
    components = dist.Normal(torch.tensor([-1.0, 1.0]), 1.0)
    pyro.sample("x", dist.MixtureSameFamily(dist.Categorical(torch.ones(2)), components))


found = {}
for name, run in {
    "AutoNormal": AutoNormal(model),
    "AutoDiagonalNormal": AutoDiagonalNormal(model),
    "NUTS": MCMC(NUTS(model), 2, 2, disable_progbar=True).run,
}.items():
    try:
        run()
    except NotImplementedError as error:
        found[name] = str(error).splitlines()[0]
print(f"Pyro {pyro.__version__}, torch {torch.__version__}: {found}")
assert len(found) == 3 and all("MixtureSameFamilyConstraint" in text for text in found.values())
EOF
