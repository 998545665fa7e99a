"""The compiled programs of a model's log density, and how batches of draws run through them."""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers
from numpyro.distributions import biject_to
from numpyro.infer.util import compute_log_probs

from ppl_ext.density import Site
from ppl_ext.numpyro.call import ModelCall, x64_scope
from ppl_ext.numpyro.inspection import dims_of, inspect_model, put_unconstrained

__all__ = ["Programs", "compile_programs", "explain_at", "run_batches", "to_numpy"]

# Draws of one compiled batch, and the most floats that one batch may hold.
_BATCH = 256
_FLOATS = 4_000_000
# Up to here a few calls of the program for one draw are cheaper than one padded batch.
_FEW = 8
# Ends the name of the term that belongs to the change of variables at a site.
_LOG_JACOBIAN = "/log_jacobian"


@dataclass(frozen=True, eq=False)
class Programs:
    """The compiled functions of one call, each ``(z, arrays) -> ...``."""

    sites: tuple[Site, ...]
    names: tuple[str, ...]
    dim: int
    batch: int
    dtype: np.dtype
    x64: bool
    log_density: Callable
    log_p: Callable
    constrain: Callable
    terms: Callable
    _compiled: list[float] = field(default_factory=list)

    def compile_log_density(self, arrays: tuple[jax.Array, ...]) -> float:
        """Compile the log density where that has not been done, and say how long it took."""
        if self._compiled:
            return 0.0
        began = time.perf_counter()
        for size in (1, self.batch):
            jax.block_until_ready(self.log_density(np.zeros((size, self.dim), self.dtype), arrays))
        self._compiled.append(time.perf_counter() - began)
        return self._compiled[0]


@functools.lru_cache(maxsize=64)
def compile_programs(call: ModelCall) -> Programs:
    """The programs of a call, kept for the next one like it."""
    inspection = inspect_model(call)
    sites = []
    for latent in inspection.latents:
        start = sites[-1].stop if sites else 0
        stop = start + int(np.prod(latent.unconstrained_shape))
        sites.append(Site(latent.name, latent.shape, start, stop, dims_of(latent)))
    shapes = {latent.name: latent.unconstrained_shape for latent in inspection.latents}
    names = (*shapes, *inspection.deterministics)

    def terms(z, arrays):
        """Log density of every site at one draw, log-Jacobians among them, and the trace."""
        position = {
            site.name: z[site.start : site.stop].reshape(shapes[site.name]) for site in sites
        }
        args, kwargs = call.arguments(arrays)
        placed = put_unconstrained(
            handlers.seed(call.model, 0), lambda site, _: position.get(site["name"])
        )
        log_probs, trace = compute_log_probs(placed, args, kwargs, {})
        # The host's potential_energy adds the log-Jacobians as factors at the sites, where masks,
        # scales and blocks around a site reach them; the change of variables is not theirs.
        for name in shapes:
            transform = biject_to(trace[name]["fn"].support)
            log_jacobian = transform.log_abs_det_jacobian(position[name], trace[name]["value"])
            log_probs[name + _LOG_JACOBIAN] = jnp.sum(log_jacobian)
        return log_probs, trace

    def log_p(z, arrays):
        return sum(terms(z, arrays)[0].values(), start=jnp.zeros((), z.dtype))

    def constrain(z, arrays):
        trace = terms(z, arrays)[1]
        return {name: trace[name]["value"] for name in names}

    def over_draws(function):
        return jax.jit(jax.vmap(function, in_axes=(0, None)))

    dim = sites[-1].stop
    widths = [int(np.prod(site.shape)) for site in inspection.observed]
    widest = max([dim, *widths])
    return Programs(
        sites=tuple(sites),
        names=names,
        dim=dim,
        batch=max(1, min(_BATCH, _FLOATS // widest)),
        dtype=call.dtype,
        x64=call.x64,
        log_density=over_draws(jax.value_and_grad(log_p)),
        log_p=over_draws(log_p),
        constrain=over_draws(constrain),
        terms=jax.jit(lambda z, arrays: terms(z, arrays)[0]),
    )


def run_batches(
    programs: Programs, program: Callable, arrays: tuple[jax.Array, ...], z: np.ndarray
) -> Any:
    """Run a program on draws cut or padded to the sizes it is compiled for."""
    z = np.asarray(z, dtype=programs.dtype)
    if z.ndim != 2 or z.shape[1] != programs.dim:
        raise ValueError(
            f"Density: z has shape {z.shape}; expected (draw, {programs.dim}). "
            "Give one point as z[None]."
        )
    if jax.config.jax_enable_x64 != programs.x64:
        with x64_scope(programs.x64):
            return run_batches(programs, program, arrays, z)
    if len(z) == 1:
        return to_numpy(program(z, arrays))
    size = programs.batch if len(z) > _FEW else 1
    parts = []
    for start in range(0, max(1, len(z)), size):
        part = z[start : start + size]
        padded = np.zeros((size, programs.dim), programs.dtype)
        padded[: len(part)] = part
        parts.append(to_numpy(program(padded, arrays), rows=len(part)))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def to_numpy(tree: Any, rows: int = 1) -> Any:
    """The first rows of every array of a tree, floats in float64."""

    def convert(leaf):
        array = np.asarray(leaf)[:rows]
        return array.astype(np.float64) if array.dtype.kind == "f" else array

    return jax.tree.map(convert, tree)


def explain_at(call: ModelCall, arrays: tuple[jax.Array, ...], z: np.ndarray) -> str:
    """Name the sites whose log density is not finite at one draw."""
    programs = compile_programs(call)
    with x64_scope(programs.x64):
        terms = programs.terms(np.asarray(z, dtype=programs.dtype), arrays)
    sentences = []
    for latent in [site.name for site in programs.sites]:
        sentences += [
            (f"the log density of latent site '{latent}'", terms.pop(latent)),
            (f"the log-Jacobian of latent site '{latent}'", terms.pop(latent + _LOG_JACOBIAN)),
        ]
    sentences += [(f"the log density of observed site '{n}'", t) for n, t in terms.items()]
    return "; ".join(
        f"{what} is {float(term)}" for what, term in sentences if not np.isfinite(term)
    )
