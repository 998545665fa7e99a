"""Run a measurement in a fresh, single-threaded process and read its figures back.

A measurement is a function ``module:function`` beside this file that takes and returns plain JSON
values. The child imports everything anew, so that compilation and warm-up are counted, and its CPU
time is its own: ``python benchmarks/measuring.py module:function '{"argument": 1}'``.
"""

import importlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["clock", "measure", "peak_memory"]

Result = TypeVar("Result")

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "JAX_PLATFORMS": "cpu",
    "JAX_ENABLE_X64": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "PYTHONWARNINGS": "ignore",
}
MARK = "measured: "


def measure(
    function: str,
    *,
    timeout: float = 3600,
    environment: Mapping[str, str] | None = None,
    python: str | None = None,
    **arguments: Any,
) -> dict[str, Any]:
    """Call ``module:function`` in a fresh process, with some variables of its environment changed.

    ``python`` is another interpreter, for what must not be installed beside this package.

    Returns:
        What it returned; ``{"failure": sentence}`` where it raised or ran out of time.
    """
    command = [python or sys.executable, str(Path(__file__)), function, json.dumps(arguments)]
    variables = {**os.environ, **ENVIRONMENT, **(environment or {})}
    try:
        done = subprocess.run(
            command, env=variables, timeout=timeout, capture_output=True, text=True, check=False
        )
    except subprocess.TimeoutExpired:
        return {"failure": f"not finished within {timeout:g} s"}
    for line in reversed(done.stdout.splitlines()):
        if line.startswith(MARK):
            return json.loads(line.removeprefix(MARK))
    last_words = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    return {"failure": last_words}


def clock(call: Callable[[], Result]) -> tuple[Result, float]:
    """What a call returns and the CPU seconds it took, all threads together."""
    began = time.process_time()
    result = call()
    return result, time.process_time() - began


def peak_memory() -> float:
    """The most memory that this process has held so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    module, _, name = sys.argv[1].partition(":")
    function = getattr(importlib.import_module(module), name)
    result = function(**json.loads(sys.argv[2]))
    # Progress that a library writes may have left its line open.
    print("\n" + MARK + json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
