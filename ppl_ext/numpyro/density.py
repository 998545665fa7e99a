"""A NumPyro model and its data as a batched log density on unconstrained space."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers
from numpyro.distributions import biject_to
from numpyro.infer.util import compute_log_probs

from ppl_ext.density import Density, Site
from ppl_ext.numpyro.call import NEEDS_VALUES, ModelCall, read_call, x64_scope
from ppl_ext.numpyro.inspection import (
    Inspection,
    dims_of,
    inspect_model,
    put_unconstrained,
)
from ppl_ext.numpyro.refusal import (
    plate_that_raised,
    refuse_data,
    refuse_model,
    refuse_subsampling,
)

__all__ = ["inspect_call", "trace_density"]

# Draws of one compiled batch, and the most floats that one batch may hold.
_BATCH = 256
_FLOATS = 4_000_000
# Up to here a few calls of the program for one draw are cheaper than one padded batch.
_FEW = 8
# Ends the name of the term that belongs to the change of variables at a site.
_LOG_JACOBIAN = "/log_jacobian"


def trace_density(model: Callable[..., Any], *args: Any, **kwargs: Any) -> Density:
    r"""Turn a model and its data into a batched log density on unconstrained space.

    .. math:: \log p(z) = \log p(x(z), y) + \log \left| \det \partial x / \partial z \right|

    where :math:`x(z)` is the bijection of every latent site onto its support. The programs are
    compiled once for a model and the shapes of its data: a call with new data of the same shapes
    uses them again. Arrays and floats are data; integers, strings, flags and what the model reads
    from its closure or module are part of the program.

    Not for models with discrete latent sites or subsampling plates.

    Args:
        model: NumPyro model.
        *args: Its positional arguments.
        **kwargs: Its keyword arguments.

    Returns:
        The density. It takes and returns NumPy float64 and runs in the precision in force when it
        was made (float32 unless JAX's float64 is switched on).

    Raises:
        ValueError: A latent site is discrete or has a support without a bijection, a plate
            subsamples or is empty, the model has no latent site or a free parameter, or observed
            data are not finite. The message names the site.

    Example:
        >>> import numpy as np, numpyro, numpyro.distributions as dist
        >>> def model(y):
        ...     scale = numpyro.sample("scale", dist.HalfNormal(1.0))
        ...     numpyro.sample("y", dist.Normal(0.0, scale), obs=y)
        >>> density = trace_density(model, np.array([0.5, -1.0]))
        >>> log_p, gradient = density.log_density(np.zeros((3, 1)))
        >>> gradient.round(4).tolist()
        [[-0.75], [-0.75], [-0.75]]
        >>> density.constrain(np.zeros((1, 1)))["scale"].tolist()
        [1.0]

    References:
        Kucukelbir, Tran, Ranganath, Gelman, Blei (2017), Automatic Differentiation Variational
        Inference, JMLR 18(14).
    """
    call, arrays, inspection = inspect_call("trace_density", model, args, kwargs)
    refuse_model(inspection, "trace_density")
    refuse_subsampling(
        inspection,
        "trace_density",
        "Leave out subsample_size, or fit in minibatches: fit(..., optimizer=Stochastic()).",
    )
    programs = _programs(call)
    with x64_scope(call.x64):
        refuse_data(inspection, inspection.observe(arrays), "trace_density")
    return Density(
        dim=programs.dim,
        sites=programs.sites,
        log_density=functools.partial(_log_density, programs, arrays),
        log_p=functools.partial(_log_p, programs, arrays),
        constrain=functools.partial(_constrain, programs, arrays),
        explain=functools.partial(_explain, programs, arrays),
        dtype=call.dtype,
    )


def inspect_call(
    caller: str, model: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[ModelCall, tuple[jax.Array, ...], Inspection]:
    """Read a call and inspect its model, with as many array arguments as the model allows.

    A model may need values while it is traced (``np.unique(group)``): its integer arrays, or all
    of them, are then fixed, and other values compile anew.
    """
    for fix in ("", "iub", "iubfc"):
        call, arrays = read_call(model, args, kwargs, fix)
        try:
            return call, arrays, inspect_model(call)
        except NEEDS_VALUES:
            if fix == "iubfc":
                raise
        except AssertionError as error:
            name = plate_that_raised(error)
            if not name:
                raise
            raise ValueError(
                f"{caller}: plate '{name}' is empty; expected a size of at least 1. Leave the "
                "plate out where it has no rows, or pass the data."
            ) from error
    raise AssertionError


@dataclass(frozen=True, eq=False)
class _Programs:
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


@functools.lru_cache(maxsize=64)
def _programs(call: ModelCall) -> _Programs:
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
    return _Programs(
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


def _log_density(
    programs: _Programs, arrays: tuple[jax.Array, ...], z: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    return _in_batches(programs, programs.log_density, arrays, z)


def _log_p(programs: _Programs, arrays: tuple[jax.Array, ...], z: np.ndarray) -> np.ndarray:
    return _in_batches(programs, programs.log_p, arrays, z)


def _constrain(
    programs: _Programs, arrays: tuple[jax.Array, ...], z: np.ndarray
) -> dict[str, np.ndarray]:
    values = _in_batches(programs, programs.constrain, arrays, z)
    return {name: values[name] for name in programs.names}


def _in_batches(
    programs: _Programs, program: Callable, arrays: tuple[jax.Array, ...], z: np.ndarray
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
            return _in_batches(programs, program, arrays, z)
    if len(z) == 1:
        return _to_numpy(program(z, arrays))
    size = programs.batch if len(z) > _FEW else 1
    parts = []
    for start in range(0, max(1, len(z)), size):
        part = z[start : start + size]
        padded = np.zeros((size, programs.dim), programs.dtype)
        padded[: len(part)] = part
        parts.append(_to_numpy(program(padded, arrays), rows=len(part)))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def _to_numpy(tree: Any, rows: int = 1) -> Any:
    def convert(leaf):
        array = np.asarray(leaf)[:rows]
        return array.astype(np.float64) if array.dtype.kind == "f" else array

    return jax.tree.map(convert, tree)


def _explain(programs: _Programs, arrays: tuple[jax.Array, ...], z: np.ndarray) -> str:
    """Name the sites whose log density is not finite at one draw."""
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
