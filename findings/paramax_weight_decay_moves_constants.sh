#!/usr/bin/env bash
# paramax 0.0.5 with optax 0.2.8: non_trainable stops the gradient, and leaves a leaf an inexact
# array. adamw decays every array whatever its gradient is, so that a constant of a flow (a fixed
# permutation matrix, the mean of the data) shrinks a little at every step.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q paramax==0.0.5 optax==0.2.8 equinox==0.13.8 jax==0.10.2 jaxlib==0.10.2
cd "$folder"
OMP_NUM_THREADS=1 JAX_PLATFORMS=cpu env/bin/python -W ignore - <<'EOF'
from importlib.metadata import version

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import paramax

tree = {"constant": paramax.non_trainable(jnp.ones(3)), "weight": jnp.ones(2)}
params, static = eqx.partition(tree, eqx.is_inexact_array)


def loss(params):
    return paramax.unwrap(eqx.combine(params, static))["weight"].sum()


optimiser = optax.adamw(0.01, weight_decay=0.1)
state = optimiser.init(params)
for _ in range(100):
    updates, state = optimiser.update(jax.grad(loss)(params), state, params)
    params = eqx.apply_updates(params, updates)
constant = paramax.unwrap(eqx.combine(params, static))["constant"]
print(f"paramax {version('paramax')}, optax {optax.__version__}: 1 became {constant[0]:.3f}")
assert constant[0] < 0.95
EOF
