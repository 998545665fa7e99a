"""Chunks of simulations in this process, or wherever joblib runs them."""

from __future__ import annotations

import copy
import hashlib
import multiprocessing
import pickle
from collections.abc import Generator, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from ppl_ext.simulation.chunks import Chunk, Simulate, run_chunk

__all__ = ["run_chunks"]

# The simulator that a worker has unpacked last: unpacked anew for each chunk, it would have to
# compile itself again each time.
_unpacked: dict[str, Simulate] = {}
_WAVE = 4  # chunks of a worker at once, where a backend returns nothing before all are done


def run_chunks(
    simulate: Simulate, chunks: Sequence[tuple[int, int]], num_jobs: int | None
) -> Generator[Chunk]:
    """Run a simulator on chunks of rows, in any order.

    Args:
        simulate: The simulator.
        chunks: First row and size of each.
        num_jobs: 1 stays in this process; None leaves it to ``joblib.parallel_config``; other
            numbers as joblib takes them.

    Yields:
        Each chunk as soon as it is done.

    Raises:
        ModuleNotFoundError: joblib is not installed.
        ValueError: joblib is set to fork this process.

    Example:
        >>> def simulate(first_row, size):
        ...     mu = np.arange(first_row, first_row + size)
        ...     return {"latent": {"mu": mu}, "observed": {"y": 2 * mu}}
        >>> [chunk.size for chunk in run_chunks(simulate, [(0, 3), (3, 1)], num_jobs=1)]
        [3, 1]
    """
    # Without joblib there is no configuration of it to follow.
    absent = [name for name in ("joblib", "cloudpickle") if find_spec(name) is None]
    if num_jobs == 1 or (num_jobs is None and "joblib" in absent):
        for first_row, size in chunks:
            yield run_chunk(simulate, first_row, size)
        return
    if absent:
        raise ModuleNotFoundError(
            f"run_simulations: {' and '.join(absent)} for num_jobs={num_jobs} not installed; "
            'expected joblib 1.4 or later with cloudpickle. Run: pip install "ppl-ext[parallel]".'
        )
    import joblib
    from joblib.parallel import get_active_backend

    backend, configured = get_active_backend(prefer="processes")
    _refuse_fork(backend)
    settings: dict[str, Any] = {"n_jobs": configured if num_jobs is None else num_jobs}
    if backend.supports_inner_max_num_threads:
        # The workers take the cores; the threads of each would only wait for the others'.
        backend = copy.copy(backend)
        settings["inner_max_num_threads"] = backend.inner_max_num_threads or 1
    stream = backend.supports_return_generator
    with joblib.parallel_config(backend=backend, **settings):
        parallel = joblib.Parallel(return_as="generator_unordered" if stream else "list")
        step = len(chunks) if stream else _WAVE * joblib.effective_n_jobs()
    if getattr(backend, "supports_sharedmem", False):
        tasks = [joblib.delayed(run_chunk)(simulate, *chunk) for chunk in chunks]
    else:
        packed, key = _pack(simulate)
        tasks = [joblib.delayed(_run_packed)(packed, key, *chunk) for chunk in chunks]
    for start in range(0, len(tasks), max(1, step)):
        yield from parallel(tasks[start : start + step])


def _pack(simulate: Simulate) -> tuple[np.ndarray, str]:
    """A simulator as bytes, those of its closures too, and what tells it from others.

    Bytes in an array, since joblib sends a large array once. It would do so with arrays inside of
    the simulator as well, which arrived read-only; unpacked from bytes, they can be written to.
    """
    import cloudpickle

    content = cloudpickle.dumps(simulate)
    return np.frombuffer(content, dtype=np.uint8), hashlib.sha256(content).hexdigest()


def _run_packed(packed: np.ndarray, key: str, first_row: int, size: int) -> Chunk:
    if key not in _unpacked:
        _unpacked.clear()
        _unpacked[key] = pickle.loads(packed.data)
    return run_chunk(_unpacked[key], first_row, size)


def _refuse_fork(backend: Any) -> None:
    # By name, as Ray's backend is a subclass that forks nothing.
    fresh = multiprocessing.get_start_method(allow_none=True) in ("spawn", "forkserver")
    if type(backend).__name__ == "MultiprocessingBackend" and not fresh:
        raise ValueError(
            "run_simulations: joblib's backend is 'multiprocessing', which forks this process; "
            "expected one that starts afresh, as a fork stands still where JAX or torch have "
            "started threads. Write joblib.parallel_config(backend='loky')."
        )
