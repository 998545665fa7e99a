#!/usr/bin/env bash
# NumPyro 0.22.0: AutoGuideList.sample_posterior gives every part the same random key, so that
# parts which are independent under the guide are drawn with a correlation of 1. Predictive(guide)
# draws them independently. Draws taken through sample_posterior (as ArviZ's converter does) are
# wrong without a word.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q numpyro==0.22.0 jax==0.10.2 jaxlib==0.10.2 optax==0.2.8
cd "$folder"
OMP_NUM_THREADS=1 JAX_PLATFORMS=cpu env/bin/python -W ignore - <<'EOF'
import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
from numpyro.handlers import block
from numpyro.infer import SVI, Predictive, Trace_ELBO
from numpyro.infer.autoguide import AutoGuideList, AutoNormal


def model():
    numpyro.sample("a", dist.Normal(0.0, 1.0))
    numpyro.sample("b", dist.Normal(0.0, 1.0))


guide = AutoGuideList(model)
guide.append(AutoNormal(block(model, hide=["b"]), prefix="of_a"))
guide.append(AutoNormal(block(model, hide=["a"]), prefix="of_b"))
svi = SVI(model, guide, optax.adam(0.01), Trace_ELBO())
params = svi.run(jax.random.key(0), 500, progress_bar=False).params
draws = guide.sample_posterior(jax.random.key(1), params, sample_shape=(1000,))
predicted = Predictive(guide, params=params, num_samples=1000)(jax.random.key(2))
together = np.corrcoef(draws["a"], draws["b"])[0, 1]
apart = np.corrcoef(predicted["a"], predicted["b"])[0, 1]
print(f"NumPyro {numpyro.__version__}: sample_posterior {together:.3f}, Predictive {apart:.3f}")
assert together > 0.999 and abs(apart) < 0.2
EOF
