#!/usr/bin/env bash
# funsor 0.4.8: `from funsor import *` ends in an AttributeError, for its __all__ holds a name that
# the package does not have.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q funsor==0.4.8 numpy==2.4.6
cd "$folder"
env/bin/python -W ignore - <<'EOF'
from importlib.metadata import version

import funsor

absent = [name for name in funsor.__all__ if not hasattr(funsor, name)]
try:
    exec("from funsor import *")
    failure = ""
except AttributeError as error:
    failure = str(error)
print(f"funsor {version('funsor')}: {failure}; missing of __all__: {absent}")
assert absent and failure
EOF
