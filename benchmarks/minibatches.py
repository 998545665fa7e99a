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
from functools import cached_property
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from tables import format_table

PIXELS, HIDDEN, LATENT, BATCH, ROWS = 784, 400, 20, 128, 6400
EPOCHS, REPEATS = 20, 2
HOSTS = ("numpyro", "pyro")
LEAST_SHARE = {"numpyro": 0.9, "pyro": 0.6}


def draw_pixels(rows: int) -> np.ndarray:
    """Binary pixels, ``[row, pixel]``."""
    return (np.random.default_rng(0).random((rows, PIXELS)) < 0.3).astype(np.float32)


class InNumPyro:
    """The autoencoder in NumPyro, and in JAX by hand."""

    def __init__(self) -> None:
        self.jax = import_module("jax")
        self.np = import_module("jax.numpy")
        self.ppl = import_module("numpyro")
        self.room = import_module("ppl_ext.numpyro")

    # Not at once: processes meet before they reckon anything.
    @cached_property
    def encoder(self) -> Any:
        """Weights to start from."""
        return self._start(self.jax.random.key(1), [PIXELS, HIDDEN, HIDDEN, 2 * LATENT])

    @cached_property
    def decoder(self) -> Any:
        """Weights to start from."""
        return self._start(self.jax.random.key(2), [LATENT, HIDDEN, HIDDEN, PIXELS])

    def fit(self, x: Any, epochs: int, **options: Any) -> Any:
        """By `fit_minibatches`."""
        dist, size = self.ppl.distributions, len(x)

        def model(x: Any) -> None:
            decoder = self.ppl.param("decoder", self.decoder)
            with self.ppl.plate("rows", size, subsample_size=len(x)):
                z = self.ppl.sample("z", dist.Normal(self.np.zeros(LATENT), 1.0).to_event(1))
                pixels = dist.Bernoulli(logits=self._run(decoder, z)).to_event(1)
                self.ppl.sample("x", pixels, obs=x)

        guide = self.room.AutoAmortized(
            model, encoder=(self._run, self.encoder), local="mean_field"
        )
        settings = self.room.MinibatchSettings(step_size=1e-3, max_epochs=epochs)
        batches = self.room.Minibatches(x, batch_size=BATCH)
        options = {"settings": settings, "progress_bar": False, **options}
        key = self.jax.random.key(0)
        return self.room.fit_minibatches(key, model, guide, batches, **options)

    def by_hand(self, x: np.ndarray, epochs: int) -> None:
        """A loop over a compiled step, as the tutorials of JAX write it."""
        jax, optax = self.jax, import_module("optax")
        log_normal = jax.scipy.stats.norm.logpdf

        def loss(params: Any, key: Any, batch: Any) -> Any:
            encoded = self._run(params[0], batch)
            loc, scale = encoded[:, :LATENT], jax.nn.softplus(encoded[:, LATENT:])
            z = loc + scale * jax.random.normal(key, loc.shape)
            logits = self._run(params[1], z)
            fit = optax.sigmoid_binary_cross_entropy(logits, batch).sum(-1)
            return (fit + (log_normal(z, loc, scale) - log_normal(z)).sum(-1)).mean()

        optimiser = optax.adam(1e-3)

        @jax.jit
        def step(params: Any, state: Any, key: Any, batch: Any) -> Any:
            value, slope = jax.value_and_grad(loss)(params, key, batch)
            updates, state = optimiser.update(slope, state)
            return optax.apply_updates(params, updates), state, value

        params, key = (self.encoder, self.decoder), jax.random.key(0)
        state, rng = optimiser.init(params), np.random.default_rng(0)
        for _ in range(epochs):
            order, losses = rng.permutation(len(x)), []
            for start in range(0, len(x) - BATCH + 1, BATCH):
                key, now = jax.random.split(key)
                batch = x[order[start : start + BATCH]]
                params, state, value = step(params, state, now, batch)
                losses.append(value)
            float(sum(losses))

    def moments(self, guide: Any, fitted: Any) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of a Gaussian guide."""
        found = guide.get_posterior(fitted.params)
        return np.asarray(found.mean), np.sqrt(np.asarray(found.variance))

    def key(self) -> tuple[Any, ...]:
        """What `fit_minibatches` takes first."""
        return (self.jax.random.key(0),)

    def array(self, values: np.ndarray) -> Any:
        """As an array of the host."""
        return self.np.asarray(values, "float32")

    def join(self, rank: int, size: int, port: str) -> None:
        """Meet the other processes."""
        self.jax.distributed.initialize(f"localhost:{port}", size, rank)

    def _start(self, key: Any, sizes: list[int]) -> list[tuple[Any, Any]]:
        keys = self.jax.random.split(key, len(sizes) - 1)
        return [
            (self.jax.random.normal(each, (a, b)) / a**0.5, self.np.zeros(b))
            for each, (a, b) in zip(keys, pairwise(sizes), strict=True)
        ]

    def _run(self, layers: Any, rows: Any) -> Any:
        for index, (weight, bias) in enumerate(layers):
            rows = rows @ weight + bias
            if index < len(layers) - 1:
                rows = self.jax.nn.softplus(rows)
        return rows


class InPyro:
    """The autoencoder in Pyro, and in torch by hand."""

    def __init__(self) -> None:
        self.torch = import_module("torch")
        self.ppl = import_module("pyro")
        self.room = import_module("ppl_ext.pyro")
        self.torch.manual_seed(0)

    def fit(self, x: Any, epochs: int, **options: Any) -> Any:
        """By `fit_minibatches`."""
        dist, size = self.ppl.distributions, len(x)
        encoder, decoder = self._networks()

        def model(x: Any) -> None:
            self.ppl.module("decoder", decoder)
            with self.ppl.plate("rows", size, subsample_size=len(x)):
                prior = dist.Normal(self.torch.zeros(LATENT), 1.0).to_event(1)
                pixels = dist.Bernoulli(logits=decoder(self.ppl.sample("z", prior)))
                self.ppl.sample("x", pixels.to_event(1), obs=x)

        self.ppl.clear_param_store()
        guide = self.room.AutoAmortized(model, encoder=encoder, local="mean_field")
        settings = self.room.MinibatchSettings(step_size=1e-3, max_epochs=epochs)
        batches = self.room.Minibatches(x, batch_size=BATCH)
        options = {"settings": settings, "progress_bar": False, **options}
        return self.room.fit_minibatches(model, guide, batches, **options)

    def by_hand(self, x: np.ndarray, epochs: int) -> None:
        """A loop as the tutorials of torch write it."""
        torch = self.torch
        encoder, decoder = self._networks()
        optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-3)
        entropy = torch.nn.functional.binary_cross_entropy_with_logits
        normal, rng = torch.distributions.Normal, np.random.default_rng(0)
        for _ in range(epochs):
            order, total = rng.permutation(len(x)), 0.0
            for start in range(0, len(x) - BATCH + 1, BATCH):
                batch = torch.as_tensor(x[order[start : start + BATCH]])
                encoded = encoder(batch)
                loc = encoded[:, :LATENT]
                scale = torch.nn.functional.softplus(encoded[:, LATENT:])
                z = loc + scale * torch.randn_like(loc)
                fit = entropy(decoder(z), batch, reduction="none").sum(-1)
                prior = normal(0.0, 1.0).log_prob(z)
                loss = (fit + (normal(loc, scale).log_prob(z) - prior).sum(-1)).mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                total += loss.item()

    def moments(self, guide: Any, fitted: Any) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of a Gaussian guide."""
        found = guide.get_posterior()
        return found.mean.detach().numpy(), found.variance.detach().numpy() ** 0.5

    def key(self) -> tuple[Any, ...]:
        """What `fit_minibatches` takes first."""
        self.ppl.clear_param_store()
        return ()

    def array(self, values: np.ndarray) -> Any:
        """As an array of the host."""
        return self.torch.as_tensor(np.asarray(values, np.float32))

    def join(self, rank: int, size: int, port: str) -> None:
        """Meet the other processes."""
        address = f"tcp://localhost:{port}"
        group = import_module("torch.distributed").init_process_group
        group("gloo", init_method=address, rank=rank, world_size=size)

    def _networks(self) -> tuple[Any, Any]:
        nn = self.torch.nn

        def chain(*sizes: int) -> Any:
            layers: list[Any] = []
            for one, other in pairwise(sizes):
                layers += [nn.Linear(one, other), nn.Softplus()]
            return nn.Sequential(*layers[:-1])

        return (
            chain(PIXELS, HIDDEN, HIDDEN, 2 * LATENT),
            chain(LATENT, HIDDEN, HIDDEN, PIXELS),
        )


def make(host: str) -> Any:
    """A host."""
    return InNumPyro() if host == "numpyro" else InPyro()


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
