#!/usr/bin/env bash
# optax 0.2.8: contrib.reduce_on_plateau compares with best * (1 - rtol). Where the loss is
# negative that bound lies above the best value, so a loss that never changes counts as an
# improvement at every step and the learning rate is never reduced. Log densities and evidence
# bounds are negative losses as often as not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q optax==0.2.8 jax==0.10.2 jaxlib==0.10.2
cd "$folder"
OMP_NUM_THREADS=1 JAX_PLATFORMS=cpu env/bin/python -W ignore - <<'EOF'
import jax.numpy as jnp
import optax
from optax import contrib

scales = {}
for value in (10.0, -10.0):
    plateau = contrib.reduce_on_plateau(factor=0.5, patience=3, rtol=1e-3)
    state = plateau.init(jnp.zeros(()))
    for _ in range(50):
        _, state = plateau.update(jnp.ones(()), state, value=jnp.asarray(value))
    scales[value] = float(state.scale)
print(f"optax {optax.__version__}: scale after 50 steps without a change {scales}")
assert scales[10.0] < 1e-3 and scales[-10.0] == 1.0
EOF
