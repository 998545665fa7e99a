#!/usr/bin/env bash
# Pyro 1.9.2: `kl_divergence(Delta(v, log_density), q)` leaves log_density out. Automatic guides give
# constrained sites as such a Delta, with the Jacobian in it, so that `TraceMeanField_ELBO` is off
# by it, in value and gradient, where `Trace_ELBO` is right; nothing is said. NumPyro counts it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q pyro-ppl==1.9.2 torch==2.13.0 numpyro==0.22.0 jax==0.10.2 numpy
cd "$folder"
OMP_NUM_THREADS=1 JAX_PLATFORMS=cpu env/bin/python -W ignore - <<'EOF'
import math

import jax
import numpyro
import pyro
import torch
from pyro.infer import Trace_ELBO, TraceMeanField_ELBO

point, log_density = 2.0, 5.0
normal = pyro.distributions.Normal(0.0, 1.0)
delta = pyro.distributions.Delta(torch.tensor(point), torch.tensor(log_density))
in_pyro = float(torch.distributions.kl_divergence(delta, normal))
normal = numpyro.distributions.Normal(0.0, 1.0)
delta = numpyro.distributions.Delta(jax.numpy.array(point), log_density)
in_numpyro = float(numpyro.distributions.kl_divergence(delta, normal))
right = log_density + point**2 / 2 + math.log(2 * math.pi) / 2
print(f"kl_divergence(Delta(2, log_density=5), Normal(0, 1)), which is {right:.3f}:")
print(f"Pyro {pyro.__version__} {in_pyro:.3f}, NumPyro {numpyro.__version__} {in_numpyro:.3f}")
assert abs(in_pyro - (right - log_density)) < 1e-4
assert abs(in_numpyro - right) < 1e-4


def model():
    pyro.sample("s", pyro.distributions.LogNormal(0.0, 1.0))


# The guide of log(s) is Normal(log 3, 1): its divergence from Normal(0, 1) is log(3)^2 / 2.
guide = pyro.infer.autoguide.AutoNormal(
    model, init_scale=1.0, init_loc_fn=lambda site: torch.tensor(3.0)
)
losses = {}
for objective in (Trace_ELBO, TraceMeanField_ELBO):
    pyro.set_rng_seed(0)
    elbo = objective(num_particles=100_000, vectorize_particles=True, max_plate_nesting=0)
    losses[objective.__name__] = elbo.loss(model, guide)
print(f"AutoNormal of a lognormal site, loss {math.log(3) ** 2 / 2:.3f} by hand: {losses}")
assert abs(losses["Trace_ELBO"] - math.log(3) ** 2 / 2) < 0.02
assert abs(losses["TraceMeanField_ELBO"] - math.log(3) ** 2 / 2 - math.log(3)) < 0.02
EOF
