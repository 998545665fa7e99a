"""The two hosts as the tests see them: the only abstraction over them, and for tests alone.

A test asks its ``host`` fixture for what the hosts spell differently. What they spell alike is
``host.ppl.sample``, ``host.ppl.plate``, ``host.dist.Normal``, ``host.math.exp`` and so on.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

ALL_HOSTS = ("pyro", "numpyro")
HOST_NAMES = tuple(os.environ.get("PPL_EXT_HOSTS", " ".join(ALL_HOSTS)).split())
Function = Callable[..., Any]


@dataclass(frozen=True)
class Host:
    """One host and its room."""

    name: str
    room: ModuleType  # ppl_ext.pyro or ppl_ext.numpyro
    ppl: ModuleType  # pyro or numpyro
    dist: ModuleType  # the host's distributions
    math: ModuleType  # torch or jax.numpy
    array: Function  # array-like -> the host's array in its default precision
    random: Function  # (function, *args, seed=0, **kwargs): a key first where one is taken
    compiled: Function  # function of arrays -> the same in one program, where the host has such
    trace: Function  # (model, *args, **kwargs) -> {site name: site}
    run_svi: Function  # (model, guide, loss, steps, *args, **kwargs) -> arguments of from_svi
    run_nuts: Function  # (model, draws, *args, **kwargs) -> MCMC that has run


def _make_pyro() -> Host:
    import pyro
    import torch

    def array(values: Any) -> torch.Tensor:
        tensor = torch.as_tensor(np.array(values))  # a frame lends arrays only to read
        return tensor.to(torch.get_default_dtype()) if tensor.is_floating_point() else tensor

    def random(function: Function, *args: Any, seed: int = 0, **kwargs: Any) -> Any:
        with torch.random.fork_rng():
            pyro.set_rng_seed(seed)
            return function(*args, **kwargs)

    def trace(model: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return dict(random(pyro.poutine.trace(model).get_trace, *args, **kwargs).nodes)

    def run_svi(model: Any, guide: Any, loss: Any, steps: int, *args: Any, **kwargs: Any) -> Any:
        svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 0.02}), loss)
        random(lambda: [svi.step(*args, **kwargs) for _ in range(steps)])
        return (svi,)

    def run_nuts(model: Any, draws: int, *args: Any, **kwargs: Any) -> Any:
        mcmc = pyro.infer.MCMC(pyro.infer.NUTS(model), draws, draws, disable_progbar=True)
        random(mcmc.run, *args, **kwargs)
        return mcmc

    room = import_module("ppl_ext.pyro")
    return Host(
        name="pyro",
        room=room,
        ppl=pyro,
        dist=pyro.distributions,
        math=torch,
        array=array,
        random=random,
        compiled=lambda function: function,
        trace=trace,
        run_svi=run_svi,
        run_nuts=run_nuts,
    )


def _make_numpyro() -> Host:
    import jax
    import numpyro

    def random(function: Function, *args: Any, seed: int = 0, **kwargs: Any) -> Any:
        return function(jax.random.key(seed), *args, **kwargs)

    def trace(model: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        seeded = numpyro.handlers.seed(model, rng_seed=0)
        return dict(numpyro.handlers.trace(seeded).get_trace(*args, **kwargs))

    def run_svi(model: Any, guide: Any, loss: Any, steps: int, *args: Any, **kwargs: Any) -> Any:
        svi = numpyro.infer.SVI(model, guide, numpyro.optim.Adam(0.02), loss)
        return svi, random(svi.run, steps, *args, progress_bar=False, **kwargs)

    def run_nuts(model: Any, draws: int, *args: Any, **kwargs: Any) -> Any:
        nuts = numpyro.infer.NUTS(model)
        mcmc = numpyro.infer.MCMC(nuts, num_warmup=draws, num_samples=draws, progress_bar=False)
        random(mcmc.run, *args, **kwargs)
        return mcmc

    room = import_module("ppl_ext.numpyro")
    return Host(
        name="numpyro",
        room=room,
        ppl=numpyro,
        dist=numpyro.distributions,
        math=jax.numpy,
        array=jax.numpy.asarray,
        random=random,
        compiled=jax.jit,
        trace=trace,
        run_svi=run_svi,
        run_nuts=run_nuts,
    )


MAKERS = {"pyro": _make_pyro, "numpyro": _make_numpyro}
