#!/usr/bin/env bash
# torch 2.13.0: `Wishart` takes sound draws for singular ones and singular ones for sound. Every draw,
# however far from singular, is warned of as "Singular sample detected." and drawn once more, and the
# singular matrices that low degrees of freedom do bring are handed out, outside of the support that
# the distribution itself tells.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q torch==2.13.0 numpy
cd "$folder"
OMP_NUM_THREADS=1 env/bin/python - <<'EOF'
import warnings

import torch

torch.manual_seed(0)
torch.distributions.Distribution.set_default_validate_args(False)
sound = torch.distributions.Wishart(torch.tensor(10.0), covariance_matrix=torch.eye(2))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    drawn = sound.rsample()
least = float(torch.linalg.eigvalsh(drawn).min())
print(f"torch {torch.__version__}: a draw of ten degrees of freedom, least eigenvalue {least:.2f}:")
print([str(warning.message) for warning in caught])
assert least > 0.1
assert any("Singular sample" in str(warning.message) for warning in caught)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    low = torch.distributions.Wishart(torch.tensor(1.01), covariance_matrix=torch.eye(2))
    drawn = low.rsample((20_000,))
outside = int((~low.support.check(drawn)).sum())
print(f"1.01 degrees of freedom: {outside:,} of {len(drawn):,} draws lie outside of the support")
assert outside > 100
EOF
