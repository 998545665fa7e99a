"""One process of several that train together.

Arguments: HOST RANK SIZE PORT OUTPUT [CHECKPOINT DIE_AT].
"""

import os
import signal
import sys

import numpy as np

from tests.hosts import MAKERS

ROWS, BATCH, NOISE = 240, 40, 0.5


def draw_rows():
    """Data with one shared latent, the mean of one local latent for each row."""
    rng = np.random.default_rng(3)
    return (1.5 + rng.normal(size=ROWS) + NOISE * rng.normal(size=ROWS)).astype(np.float32)


def fit(name, batches=None, **options):
    """Train both latents and an encoder: the room's result and the guide."""
    host = MAKERS[name]()

    def model(x):
        mean = host.ppl.sample("mean", host.dist.Normal(0.0, 10.0))
        with host.ppl.plate("rows", ROWS, subsample_size=len(x)):
            z = host.ppl.sample("z", host.dist.Normal(mean, 1.0))
            host.ppl.sample("x", host.dist.Normal(z, NOISE), obs=x)

    if name == "pyro":
        host.ppl.clear_param_store()
    guide = host.room.AutoAmortized(model)
    batches = batches or host.room.Minibatches(draw_rows(), batch_size=BATCH)
    options = {"progress_bar": False, **options}
    options.setdefault("settings", host.room.MinibatchSettings(step_size=0.01, max_epochs=20))
    return host.random(host.room.fit_minibatches, model, guide, batches, **options), guide


def join(name, rank, size, port):
    """Meet the other processes."""
    if name == "numpyro":
        import jax

        jax.distributed.initialize(f"localhost:{port}", size, rank, heartbeat_timeout_seconds=10)
    else:
        from torch import distributed

        address = f"tcp://localhost:{port}"
        distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=size)


def main():
    name, rank, size, port, output, *rest = sys.argv[1:]
    if int(size) > 1:
        join(name, int(rank), int(size), port)
    options = {}
    if rest:
        checkpoint, die_at = rest
        rows = draw_rows().reshape(-1, BATCH)

        def batches(epoch):
            if epoch == int(die_at) and rank == "1":
                os.kill(os.getpid(), signal.SIGKILL)
            return [(batch,) for batch in rows]

        options = {"batches": batches, "checkpoint": checkpoint}
    fitted, _ = fit(name, **options)
    params = {key: np.asarray(value) for key, value in flatten(fitted.params).items()}
    np.savez(f"{output}.{rank}.npz", losses=fitted.log.losses, **params)


def flatten(params, prefix="p"):
    """Leaves of nested dictionaries, lists and tuples."""
    if isinstance(params, dict):
        items = params.items()
    elif isinstance(params, list | tuple):
        items = enumerate(params)
    else:
        return {prefix: params}
    return {
        key: leaf
        for name, each in items
        for key, leaf in flatten(each, f"{prefix}.{name}").items()
    }


if __name__ == "__main__":
    main()
