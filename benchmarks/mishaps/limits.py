"""A disk that is full and memory that is short, each in a process of its own."""

import resource
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from mishaps.victims import open_host
from ppl_ext.simulation import open_simulations, run_simulations
from ppl_ext.storage import read_arrays, write_arrays
from ppl_ext.training.state_file import StateFile

__all__ = ["fill_disk", "starve_factorization", "starve_training"]

_ROOM, _MEMORY = 1 << 16, 512 << 20  # bytes; JAX wants most of it to compile


def _write_file(folder: Path, size: int) -> None:
    write_arrays(folder / "fit.safetensors", {"w": np.full(size, size)}, {"kind": "fit"})


def _write_checkpoint(folder: Path, size: int) -> None:
    file = StateFile("train", "state", folder / "kept.safetensors", {"the seed": 0})
    file.write({"learner": {"w": np.full(size, size)}}, {"step": size})


def _write_table(folder: Path, size: int) -> None:
    def simulate(first_row: int, count: int) -> dict[str, dict[str, np.ndarray]]:
        mu = np.arange(first_row, first_row + count, dtype=float)
        return {"latent": {"mu": mu}, "observed": {"y": np.repeat(mu[:, None], 10, axis=1)}}

    run_simulations(simulate, size, chunk_size=50, folder=folder / "table", progress_bar=False)


_WRITERS = {
    "a saved fit": (_write_file, lambda folder: read_arrays(folder / "fit.safetensors")),
    "a checkpoint": (_write_checkpoint, lambda folder: read_arrays(folder / "kept.safetensors")),
    "a table": (_write_table, lambda folder: open_simulations(folder / "table")),
}


def fill_disk(what: str, times: int) -> dict[str, Any]:
    """Write beyond the largest size of a file that the system grants, as on a full disk."""
    write, read = _WRITERS[what]
    rng, counts = np.random.default_rng(0), Counter()
    for _ in range(times):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write(folder, 200)
            limit = int(rng.integers(_ROOM // 2, _ROOM))
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
            try:
                write(folder, 20_000)
                counts["written"] += 1
            except OSError as error:
                words = " ".join([str(error), *getattr(error, "__notes__", [])])
                counts["names its path" if name in words else "names no path"] += 1
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            read(folder)
            counts["last good file whole"] += 1
            counts["left over"] += len(list(folder.rglob("*.tmp")))
    right = counts["names its path"] == counts["last good file whole"] == times
    return {"counts": dict(counts), "right": right and not counts["left over"]}


def _limit_memory(more: int) -> None:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    used = int(status.split("VmData:")[1].split()[0]) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (used + more, used + more))


def starve_training(host: str, times: int) -> dict[str, Any]:
    """Train on a file of ten times the memory that is left."""
    inside = open_host(host)
    ppl, dist, rows = inside.ppl, inside.dist, 10 * _MEMORY // 4096

    def train(x: np.ndarray) -> Any:
        def model(x: Any) -> None:
            mean = ppl.sample("mean", dist.Normal(0.0, 10.0))
            with ppl.plate("rows", len_of_all, subsample_size=len(x)):
                ppl.sample("x", dist.Normal(mean, 1.0), obs=x.mean(-1))

        len_of_all = len(x)
        if host == "pyro":
            ppl.clear_param_store()
        return inside.call(
            inside.room.fit_minibatches,
            model,
            inside.room.AutoMeanField(model),
            inside.room.Minibatches(x, batch_size=256),
            settings=inside.room.MinibatchSettings(step_size=0.01, max_epochs=1),
            progress_bar=False,
        )

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.npy")
        x = np.lib.format.open_memmap(path, "w+", np.float32, (rows, 1024))
        del x
        train(np.load(path, mmap_mode="r")[:2048])  # compiled, and all threads are there
        _limit_memory(_MEMORY)
        finite = [
            bool(np.isfinite(train(np.load(path, mmap_mode="r")).log.best)) for _ in range(times)
        ]
    return {"counts": {"trained": sum(finite)}, "right": all(finite)}


def starve_factorization(times: int) -> dict[str, Any]:
    """Factorize with too little memory: a sentence and a status, no traceback."""
    from ppl_ext.commands.cli import main

    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "ratings.csv")
        rng = np.random.default_rng(0)
        pairs = rng.permutation(3000 * 1000)[:60_000]
        lines = [f"{each // 1000},{each % 1000},{each % 5 + 1}" for each in pairs.tolist()]
        path.write_text("user,item,rating\n" + "\n".join(lines))
        command = ["factorize", str(path), "--out", folder, "--threads", "1", "--max-sweeps", "2"]
        main([*command, "--factors", "2"])
        _limit_memory(16 << 20)
        for _ in range(times):
            try:
                counts[f"status {main([*command, '--factors', '400'])}"] += 1
            except MemoryError:
                counts["traceback"] += 1
    return {"counts": dict(counts), "right": set(counts) == {"status 1"}}
