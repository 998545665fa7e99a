"""The compiled programs of a model's log density, and how batches of draws run through them."""

import functools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers
from numpyro.distributions import biject_to

from ppl_ext.density import Site
from ppl_ext.numpyro.tracing.arguments import locate_invalid_arguments
from ppl_ext.numpyro.tracing.bound_model import x64_scope
from ppl_ext.numpyro.tracing.data.arrays import to_numpy
from ppl_ext.numpyro.tracing.data.predictions import draw_data
from ppl_ext.numpyro.tracing.enumeration.assignments import draw_assignments
from ppl_ext.numpyro.tracing.enumeration.model_scores import score_model
from ppl_ext.numpyro.tracing.enumeration.site_scores import score_trace
from ppl_ext.numpyro.tracing.find_sites import put_unconstrained
from ppl_ext.numpyro.tracing.model_call import Arrays, ModelCall
from ppl_ext.numpyro.tracing.turns import in_turn

__all__ = [
    "CompiledDensity",
    "batch_size",
    "compile_density",
]

# Draws of one compiled batch, and the most floats that one batch may hold.
_BATCH = 256
_FLOATS = 4_000_000
# Up to so many draws go through the program of one draw, one by one, where a padded batch holds
# more than so many floats. Below, a batch costs no more, and one program less is compiled.
_FEW, _FEW_FLOATS = 8, 2**17


def batch_size(width: int) -> int:
    """Draws of one compiled batch, where the widest array of a draw has so many floats."""
    return max(1, min(_BATCH, _FLOATS // max(1, width)))


@dataclass(frozen=True, eq=False)
class CompiledDensity:
    """The compiled functions of a model's log density, each ``(z, arrays) -> ...``.

    Compilation is what a first fit waits for, so there are two programs for nearly everything:
    ``log_density`` with the gradient for fitting, and ``score`` with values, log density and log
    likelihood for draws and the verdict. ``log_p`` is the function of one draw, not compiled.
    """

    sites: tuple[Site, ...]
    names: tuple[str, ...]
    assigned: tuple[str, ...]
    dim: int
    batch: int
    few: int
    dtype: np.dtype
    x64: bool
    log_p: Callable
    log_density: Callable
    score: Callable
    predict: Callable
    assign: Callable
    terms: Callable
    _compiled: list[float] = field(default_factory=list)

    @in_turn
    def compile_log_density(self, arrays: Arrays) -> float:
        """Compile the log density where that has not been done, and say how long it took."""
        if self._compiled:
            return 0.0
        began = time.perf_counter()
        for size in (1, self.batch) if self.few else (self.batch,):
            jax.block_until_ready(self.log_density(np.zeros((size, self.dim), self.dtype), arrays))
        self._compiled.append(time.perf_counter() - began)
        return self._compiled[0]

    @in_turn
    def run(
        self,
        program: Callable,
        arrays: Arrays,
        z: np.ndarray,
        *columns: np.ndarray,
        keep: tuple[str, ...] | None = None,
    ) -> Any:
        """Run a program on draws cut or padded to the sizes it is compiled for.

        Args:
            program: One of the compiled functions.
            arrays: The array arguments of the model.
            z: Draws on unconstrained space, ``[draw, dim]``.
            *columns: What else the program takes of every draw, ``[draw]``.
            keep: Which parts of the result are wanted; all if None.

        Returns:
            The program's result, NumPy arrays with the draws first.
        """
        z = np.asarray(z, dtype=self.dtype)
        if z.ndim != 2 or z.shape[1] != self.dim:
            raise ValueError(
                f"Density: z has shape {z.shape}; expected (draw, {self.dim}). "
                "Give one point as z[None]."
            )
        if jax.config.jax_enable_x64 != self.x64:
            with x64_scope(self.x64):
                return self.run(program, arrays, z, *columns, keep=keep)
        size = 1 if len(z) <= self.few else self.batch
        parts = []
        for start in range(0, max(1, len(z)), size):
            rows = min(size, len(z) - start)
            padded = [
                np.concatenate([part, np.zeros((size - rows, *part.shape[1:]), part.dtype)])
                for part in (column[start : start + rows] for column in (z, *columns))
            ]
            part = program(padded[0], arrays, *padded[1:])
            kept = part if keep is None else {name: part[name] for name in keep}
            parts.append(to_numpy(kept, rows))
        return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)

    def score_draws(
        self,
        arrays: Arrays,
        z: np.ndarray,
        *,
        likelihood: bool = False,
        seeds: np.ndarray | None = None,
    ) -> dict[str, Any]:
        """Score draws ``z[draw, dim]`` on unconstrained space.

        Args:
            arrays: The array arguments of the model.
            z: The draws.
            likelihood: Whether the log likelihood of every datum is wanted.
            seeds: With what to draw enumerated sites, ``[draw]``; None leaves them out, and
                what hangs on them.

        Returns:
            ``values`` of latent and deterministic sites, ``log_p``, ``log_likelihood`` and
            ``weighted_log_likelihood``.
        """
        data = ("log_likelihood", "weighted_log_likelihood")
        keep = ("values", "log_p", *(data if likelihood else ()))
        scored = self.run(self.score, arrays, z, keep=keep)
        # JAX sorts the keys of a dictionary; the model's order is the readable one.
        found = scored["values"]
        if seeds is not None and self.assigned:
            found = {**found, **self.run(self.assign, arrays, z, seeds)}
        values = {name: found[name] for name in self.names if name in found}
        return {**{group: {} for group in data}, **scored, "values": values}


@functools.lru_cache(maxsize=64)
def compile_density(call: ModelCall) -> CompiledDensity:
    """The programs of a call, kept for the next one like it."""
    found = call.sites
    sites: list[Site] = []
    for latent in found.latents:
        start = sites[-1].stop if sites else 0
        stop = start + math.prod(latent.unconstrained_shape)
        sites.append(Site(latent.name, latent.shape, start, stop, latent.dims))
    shapes = {latent.name: latent.unconstrained_shape for latent in found.latents}
    names = [name for name in found.valued if name not in found.assigned]
    observed = [site.name for site in found.observed]

    def place(z, arrays):
        """The values of latent sites on unconstrained space, and the model set to them."""
        position = {
            site.name: z[site.start : site.stop].reshape(shapes[site.name]) for site in sites
        }
        placed = put_unconstrained(
            handlers.seed(call.run, 0), lambda site, _: position.get(site["name"])
        )
        return position, functools.partial(placed, arrays)

    def run(z, arrays):
        """One run of the model: its trace, and the log-Jacobian of every latent site."""
        position, placed = place(z, arrays)
        with handlers.block():
            trace = handlers.trace(placed).get_trace()
        # The host's potential_energy adds the log-Jacobians as factors at the sites, where masks,
        # scales and blocks around a site reach them; the change of variables is not theirs.
        log_jacobians = {}
        for name in shapes:
            transform = biject_to(trace[name]["fn"].support)
            log_jacobian = transform.log_abs_det_jacobian(position[name], trace[name]["value"])
            log_jacobians[name] = jnp.sum(log_jacobian)
        return trace, log_jacobians

    def terms(z, arrays):
        trace, log_jacobians = run(z, arrays)
        invalid = locate_invalid_arguments(trace, [*shapes, *observed])
        return {k: jnp.sum(v) for k, v in score_trace(trace).items()}, log_jacobians, invalid

    def score(z, arrays):
        trace, log_jacobians = run(z, arrays)
        scored = score_model(place(z, arrays)[1], trace, found)
        return {
            "values": {name: trace[name]["value"] for name in names},
            "log_p": sum(log_jacobians.values(), start=scored.log_p),
            "log_likelihood": scored.log_likelihood,
            "weighted_log_likelihood": scored.weighted,
        }

    def log_p(z, arrays):
        return score(z, arrays)["log_p"]

    def assigned(z, arrays, seed):
        """A run in which enumerated sites are drawn; the same key draws the same."""
        if not found.enumerated:
            return run(z, arrays)[0]
        return draw_assignments(place(z, arrays)[1], found, jax.random.key(seed))

    def assign(z, arrays, seed):
        trace = assigned(z, arrays, seed)
        return {name: trace[name]["value"] for name in found.assigned}

    def predict(z, arrays, seed):
        return draw_data(assigned(z, arrays, seed), observed, jax.random.key(seed))

    def over_draws(function, *per_draw):
        return jax.jit(jax.vmap(function, in_axes=(0, None, *per_draw)))

    values = max((site.size for site in found.enumerated), default=1)
    widest = max([sites[-1].stop, *(values * math.prod(s.shape) for s in found.observed)])
    batch = batch_size(widest)
    return CompiledDensity(
        sites=tuple(sites),
        names=found.valued,
        assigned=found.assigned,
        dim=sites[-1].stop,
        batch=batch,
        few=_FEW if batch * widest > _FEW_FLOATS else 0,
        dtype=call.dtype,
        x64=call.x64,
        log_p=log_p,
        log_density=over_draws(jax.value_and_grad(log_p)),
        score=over_draws(score),
        predict=over_draws(predict, 0),
        assign=over_draws(assign, 0),
        terms=jax.jit(terms),
    )
