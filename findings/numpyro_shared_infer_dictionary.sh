#!/usr/bin/env bash
# NumPyro 0.22.0, funsor 0.4.8: enumeration writes into the `infer` dictionary of a sample statement.
# Where several sites are given one dictionary object, such as a constant of the module, the sum
# over a hidden Markov model is another number, without a word.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q numpyro==0.22.0 funsor==0.4.8 jax==0.10.2 numpy==2.4.6
cd "$folder"
OMP_NUM_THREADS=1 JAX_PLATFORMS=cpu env/bin/python -W ignore - <<'EOF'
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.contrib.funsor import enum, markov
from numpyro.contrib.funsor.infer_util import log_density
from numpyro.handlers import seed

SEEN = np.array([0.3, -0.2, 2.5])
MOVES, CENTRES = np.array([[0.7, 0.3], [0.4, 0.6]]), np.array([0.0, 2.0])
SHARED = {"enumerate": "parallel"}


def model(infer_of):
    x = 0
    for t in markov(range(3)):
        x = numpyro.sample(f"x{t}", dist.Categorical(jnp.asarray(MOVES)[x]), infer=infer_of())
        numpyro.sample(f"y{t}", dist.Normal(jnp.asarray(CENTRES)[x], 1.0), obs=SEEN[t])


def score(infer_of):
    return float(log_density(enum(seed(model, 0), -1), (infer_of,), {}, {})[0])


own, shared = score(lambda: {"enumerate": "parallel"}), score(lambda: SHARED)
filtered = np.array([1.0, 0.0])
for seen in SEEN:
    filtered = (filtered @ MOVES) * np.exp(-((seen - CENTRES) ** 2) / 2) / np.sqrt(2 * np.pi)
exact = np.log(filtered.sum())
print(f"NumPyro {numpyro.__version__}: exact {exact:.3f}, a dictionary each {own:.3f}, one for all {shared:.3f}")
assert abs(own - exact) < 1e-4 and abs(shared - exact) > 0.1
EOF
