"""A NumPyro model and its data as a batched log density on unconstrained space."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ppl_ext.density import Density
from ppl_ext.numpyro.tracing.bound_model import BoundModel, bind_model, x64_scope
from ppl_ext.numpyro.tracing.compiled_density import compile_density
from ppl_ext.numpyro.tracing.refusals import (
    refuse_data,
    refuse_hidden_draws,
    refuse_latents,
    refuse_parameters,
    refuse_subsampling,
)
from ppl_ext.numpyro.tracing.turns import in_turn

__all__ = ["density_of", "explain_at", "trace_density"]


@in_turn
def trace_density(model: Callable[..., Any], *args: Any, **kwargs: Any) -> Density:
    r"""Turn a model and its data into a batched log density on unconstrained space.

    .. math:: \log p(z) = \log p(x(z), y) + \log \left| \det \partial x / \partial z \right|

    where :math:`x(z)` is the bijection of every latent site onto its support. The programs are
    compiled once for a model and the shapes of its data: a call with new data of the same shapes
    uses them again. Arrays and floats are data; integers, strings, flags and what the model reads
    from its closure or module are part of the program.

    Discrete sites that are marked ``infer={"enumerate": "parallel"}`` are summed out by the host
    (``pip install "ppl-ext[enumeration]"``). Not for other discrete latent sites or plates that
    subsample. Where an argument lies outside of its bounds, as a negative rate, the density is
    zero, also where the host's formula is finite.

    Args:
        model: NumPyro model.
        *args: Its positional arguments.
        **kwargs: Its keyword arguments.

    Returns:
        The density. It takes and returns NumPy float64 and runs in the precision in force when it
        was made (float32 unless JAX's float64 is switched on).

    Raises:
        ValueError: A latent site is discrete or has a support without a bijection, a plate
            subsamples or is empty, the model has no latent site or a free parameter, observed
            data are not finite, no numbers or of another shape than the site, or the model draws
            what no site shows. The message names the site.

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
    bound = bind_model("trace_density", model, args, kwargs)
    refuse_latents(bound)
    refuse_parameters(bound)
    refuse_subsampling(
        bound,
        "Leave out subsample_size, or fit in minibatches: fit(..., optimizer=Stochastic()).",
    )
    refuse_hidden_draws(bound)
    refuse_data(bound)
    return density_of(bound)


def density_of(bound: BoundModel) -> Density:
    """The log density of a model that has one (see ``BoundModel.has_density``)."""
    compiled, arrays = compile_density(bound.call), bound.arrays

    def values_and_log_p(z: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        scored = compiled.score_draws(arrays, z)
        return scored["values"], scored["log_p"]

    return Density(
        dim=compiled.dim,
        sites=compiled.sites,
        log_density=functools.partial(compiled.run, compiled.log_density, arrays),
        log_p=lambda z: values_and_log_p(z)[1],
        constrain=lambda z: values_and_log_p(z)[0],
        explain=functools.partial(explain_at, bound),
        dtype=compiled.dtype,
        values_and_log_p=values_and_log_p,
    )


@in_turn
def explain_at(bound: BoundModel, z: np.ndarray) -> str:
    """Name the sites whose log density is not finite at one draw."""
    compiled = compile_density(bound.call)
    with x64_scope(bound.x64):
        point = np.asarray(z, dtype=compiled.dtype)
        log_probs, log_jacobians, invalid = compiled.terms(point, bound.arrays)
    sentences = []
    for latent in [site.name for site in compiled.sites]:
        sentences += [
            (f"the log density of latent site '{latent}'", log_probs.pop(latent)),
            (f"the log-Jacobian of latent site '{latent}'", log_jacobians[latent]),
        ]
    sentences += [(f"the log density of observed site '{n}'", t) for n, t in log_probs.items()]
    found = [f"{what} is {float(term)}" for what, term in sentences if not np.isfinite(term)]
    found += [f"argument {what} lies outside of its bounds" for what in invalid if invalid[what]]
    return "; ".join(found)
