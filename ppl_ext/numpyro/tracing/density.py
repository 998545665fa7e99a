"""A NumPyro model and its data as a batched log density on unconstrained space."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from ppl_ext.density import Density
from ppl_ext.numpyro.tracing.bound_model import NEEDS_VALUES, ModelCall, read_call, x64_scope
from ppl_ext.numpyro.tracing.compiled_density import (
    Programs,
    compile_programs,
    explain_at,
    run_batches,
)
from ppl_ext.numpyro.tracing.find_sites import inspect_model
from ppl_ext.numpyro.tracing.refusals import (
    plate_that_raised,
    refuse_data,
    refuse_model,
    refuse_subsampling,
)
from ppl_ext.numpyro.tracing.sites import Inspection

__all__ = ["inspect_call", "trace_density", "trace_where_whole"]


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
        inspection.plates.values(),
        "trace_density",
        "Leave out subsample_size, or fit in minibatches: fit(..., optimizer=Stochastic()).",
    )
    programs = compile_programs(call)
    with x64_scope(call.x64):
        refuse_data(inspection, inspection.observe(arrays), "trace_density")
    return Density(
        dim=programs.dim,
        sites=programs.sites,
        log_density=functools.partial(run_batches, programs, programs.log_density, arrays),
        log_p=functools.partial(run_batches, programs, programs.log_p, arrays),
        constrain=functools.partial(_constrain, programs, arrays),
        explain=functools.partial(explain_at, call, arrays),
        dtype=call.dtype,
    )


def trace_where_whole(
    model: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Density | None:
    """The density of a model; None where it sees minibatches or has parameters of its own."""
    _, _, inspection = inspect_call("trace_density", model, args, kwargs)
    if inspection.subsamples or inspection.parameters:
        return None
    return trace_density(model, *args, **kwargs)


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


def _constrain(
    programs: Programs, arrays: tuple[jax.Array, ...], z: np.ndarray
) -> dict[str, np.ndarray]:
    values = run_batches(programs, programs.constrain, arrays, z)
    # JAX sorts the keys of a dictionary; the model's order is the readable one.
    return {name: values[name] for name in programs.names}
