#!/usr/bin/env bash
# jax 0.10.2: the persistent compilation cache writes a program in place, without a temporary
# file, and does not write one whose file is there already. So an entry that a killed process, or
# a full disk, has left half written stays: every later process warns that it cannot be read, and
# compiles anew. The same warning comes where two processes share a cache and one reads what the
# other is writing. The results are right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q jax==0.10.2 jaxlib==0.10.2
cd "$folder"
export OMP_NUM_THREADS=1 JAX_PLATFORMS=cpu JAX_COMPILATION_CACHE_DIR="$folder/cache"
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0 JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES=-1
cat > program.py <<'EOF'
import warnings

import jax
import numpy as np

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    cube = jax.jit(lambda x: x**3)(np.float32(3))
print(float(cube), sum("persistent compilation cache" in str(each.message) for each in caught))
EOF
first=$(env/bin/python program.py)
again=$(env/bin/python program.py)
entry=$(ls -S cache/*-cache | head -1)
size=$(stat -c %s "$entry")
truncate -s $((size / 2)) "$entry"
cut=$(env/bin/python program.py)
later=$(env/bin/python program.py)
echo "jax 0.10.2: cube and warnings: first $first, cached $again, after the cut $cut, later $later"
echo "bytes of the entry: whole $size, at the end $(stat -c %s "$entry")"
test "$first" = "27.0 0" && test "$again" = "27.0 0" && test "$cut" = "27.0 1"
test "$later" = "27.0 1" && test "$(stat -c %s "$entry")" -eq $((size / 2))
