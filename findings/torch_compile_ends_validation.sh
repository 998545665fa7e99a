#!/usr/bin/env bash
# torch 2.13.0: the first call of any compiled function, whether or not it has to do with
# distributions, switches the argument validation of torch.distributions off for the whole
# process. A scale of -1, an error before, gives NaN afterwards.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q torch==2.13.0 numpy
cd "$folder"
OMP_NUM_THREADS=1 env/bin/python -W ignore - <<'EOF'
import torch
from torch.distributions import Normal


def is_refused():
    try:
        Normal(0.0, -1.0)
    except ValueError:
        return True
    return False


before = is_refused()
torch.compile(lambda x: x + 1, backend="eager")(torch.zeros(3))
after = is_refused()
value = Normal(0.0, -1.0).log_prob(torch.tensor(0.0))
print(f"torch {torch.__version__}: refused before {before}, after {after}, density {value}")
assert before and not after and value.isnan()
EOF
