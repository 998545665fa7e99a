"""Training on minibatches: ``python benchmarks/minibatches.py``.

For each host, with the same autoencoder of 784 pixels, 2 x 400 hidden units and 20 latents in
batches of 128:

* CPU seconds of an epoch of `fit_minibatches` beside a loop that is written by hand on the host's
  tensors, without the host;
* peak memory of an epoch over a memory-mapped file, and over one ten times as long;
* the largest relative difference of losses between two processes and one, same global batches;

and of a linear regression with known posterior, the error of means and standard deviations where
the training ended by itself. Every measurement runs in a process of its own.
"""

import argparse
import os
import resource
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from contenders.pixels import draw_pixels
from tables import format_table

ROWS, EPOCHS, REPEATS = 6400, 20, 2
HOSTS = ("numpyro", "pyro")
LEAST_SHARE = {"numpyro": 0.9, "pyro": 0.6}


def make(host: str) -> Any:
    """A host, whose module imports it."""
    module = import_module(f"contenders.minibatches_on_{host}")
    return module.InNumPyro() if host == "numpyro" else module.InPyro()


def time_epochs(host: str, which: str) -> None:
    """Print CPU seconds of an epoch, from the difference of a long and a short training."""
    inside, x = make(host), draw_pixels(ROWS)
    run: Callable[..., Any] = inside.fit if which == "ours" else inside.by_hand
    run(x, 1)
    seconds = []
    for epochs in (1, 1 + EPOCHS) * REPEATS:
        began = process_time()
        run(x, epochs)
        seconds.append(process_time() - began)
    print(np.median(np.subtract(seconds[1::2], seconds[::2])) / EPOCHS)


def measure_memory(host: str, path: str) -> None:
    """Print the peak in MiB of one epoch over a file."""
    make(host).fit(np.load(path, mmap_mode="r"), 1)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def train_part(host: str, rank: str, size: str, port: str) -> None:
    """Print the losses of ten epochs, as one process of several."""
    inside = make(host)
    if int(size) > 1:
        inside.join(int(rank), int(size), port)
    fitted = inside.fit(draw_pixels(1280), 10, num_parts=2)
    print(*fitted.log.losses.tolist())


def compare_posterior(host: str, rows: str, batch: str) -> None:
    """Print errors of a linear regression's posterior, and what its training cost."""
    inside, size = make(host), int(rows)
    rng, dist = np.random.default_rng(1), inside.ppl.distributions
    x = rng.normal(size=(size, 4)).astype(np.float32)
    x[:, 3] = 3 * x[:, 3] + x[:, 1]
    y = (x @ [1.0, -2.0, 0.5, 0.3] + rng.normal(size=size)).astype(np.float32)
    precision = x.T.astype(float) @ x + np.eye(4) / 100
    mean, sd = np.linalg.solve(precision, x.T @ y), np.linalg.inv(precision).diagonal() ** 0.5

    def model(x: Any, y: Any) -> None:
        prior = dist.Normal(inside.array(np.zeros(4)), 10.0).to_event(1)
        b = inside.ppl.sample("b", prior)
        with inside.ppl.plate("rows", size, subsample_size=len(x)):
            inside.ppl.sample("y", dist.Normal(x @ b, 1.0), obs=y)

    guide = inside.room.AutoFullRank(model)
    batches = inside.room.Minibatches(x, y, batch_size=int(batch))
    began = process_time()
    fitted = inside.room.fit_minibatches(*inside.key(), model, guide, batches, progress_bar=False)
    seconds = process_time() - began
    loc, scale = inside.moments(guide, fitted)
    errors = np.abs(loc - mean) / sd
    print(errors.max(), np.abs(np.log(scale / sd)).max(), seconds, int(fitted.log.converged))


def ask(*arguments: Any) -> list[float]:
    """Run a measurement in a process of its own."""
    return [float(word) for word in _read(_start(*arguments))]


def _start(*arguments: Any) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--measure", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def _read(process: subprocess.Popen[str]) -> list[str]:
    output, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"a measurement ended with {process.returncode}; see above")
    # Above it, hosts print what they please.
    return output.strip().splitlines()[-1].split()


def compare_processes(host: str) -> float:
    """Largest relative difference of the losses of two processes from those of one."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    parts = [_start("train_part", host, rank, 2, port) for rank in range(2)]
    found = np.array([_read(part) for part in parts], float)
    return float(np.abs(found / ask("train_part", host, 0, 1, port) - 1).max())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--hosts", nargs="+", default=HOSTS, choices=HOSTS)
    arguments = parser.parse_args()
    if arguments.measure:
        name, *rest = arguments.measure
        globals()[name](*rest)
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        short, long = Path(folder, "short.npy"), Path(folder, "long.npy")
        np.save(short, draw_pixels(16_000))
        np.save(long, np.tile(draw_pixels(16_000), (10, 1)))
        for host in arguments.hosts:
            ours, by_hand = (ask("time_epochs", host, which)[0] for which in ("ours", "by hand"))
            memory = [ask("measure_memory", host, path)[0] for path in (short, long)]
            difference = compare_processes(host)
            rows += [
                (host, "share of a loop by hand", by_hand / ours, f">= {LEAST_SHARE[host]}"),
                (host, "CPU s an epoch, ours", ours, ""),
                (host, "CPU s an epoch, by hand", by_hand, ""),
                (host, "peak MiB, file of 48 MiB", memory[0], ""),
                (host, "peak MiB, file of 480 MiB", memory[1], "flat"),
                (host, "two processes beside one", difference, "<= 1e-5"),
            ]
            for size, batch in ((2_000, 100), (100_000, 250)):
                mean, sd, seconds, converged = ask("compare_posterior", host, size, batch)
                what = f"regression of {size:,} rows: "
                rows += [
                    (host, what + "error of means, sd", mean, ""),
                    (host, what + "error of log sd", sd, ""),
                    (host, what + "CPU s", seconds, ""),
                    (host, what + "ended by itself", converged, "1"),
                ]
    cells = [(host, what, f"{value:.3g}", target) for host, what, value, target in rows]
    print(format_table(("host", "what", "found", "target"), cells))


if __name__ == "__main__":
    main()
