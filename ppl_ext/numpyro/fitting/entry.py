"""Fit a guide to a NumPyro model in one call."""

import contextlib
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from ppl_ext.estimators.mismatch import having_told, warn_of
from ppl_ext.fitting.loop import FitLog
from ppl_ext.fitting.settings import Deterministic, Stochastic
from ppl_ext.gaussian_vi import solve_full_rank, solve_mean_field
from ppl_ext.numpyro.fitting.result import Fit
from ppl_ext.numpyro.fitting.stochastic_fit import descend
from ppl_ext.numpyro.guides import AutoFullRank, AutoMeanField
from ppl_ext.numpyro.guides.gaussian import AbstractAutoGaussian
from ppl_ext.numpyro.objectives.discrete.mismatch import trace_mismatches
from ppl_ext.numpyro.tracing.bound_model import seed_from, x64_scope
from ppl_ext.numpyro.tracing.compiled_density import compile_programs
from ppl_ext.numpyro.tracing.density import inspect_call, trace_density
from ppl_ext.numpyro.tracing.refusals import refuse_data, refuse_model, refuse_subsampling
from ppl_ext.numpyro.tracing.sites import Inspection

__all__ = ["fit"]

_MOST_FULL_RANK = 1000
_OWN_NAMES = ("rng_key", "model", "guide", "optimizer", "restarts", "progress_bar", "enable_x64")


def fit(
    rng_key: jax.Array,
    model: Callable[..., Any],
    guide: Callable[..., Any] | None = None,
    *args: Any,
    optimizer: Deterministic | Stochastic | None = None,
    restarts: int = 4,
    progress_bar: bool = True,
    enable_x64: bool = False,
    **kwargs: Any,
) -> Fit:
    r"""Fit a guide to a model by maximising the evidence lower bound.

    .. math:: \max_q \ E_q [\log p(x, y) - \log q(x)]

    `AutoFullRank` and `AutoMeanField` on a model that sees all its data are solved
    deterministically: no learning rate, and the end is where the answer no longer moves. Every
    other guide or model goes to the host's ``SVI`` with `Stochastic`. A second fit to data of the
    same shapes compiles nothing. Not a proof: read ``fit(...).report()``.

    Args:
        rng_key: Random key; the same key gives the same answer.
        model: NumPyro model.
        guide: Guide; None for `AutoFullRank`, above 1,000 dimensions `AutoMeanField`.
        *args: Positional arguments of the model.
        optimizer: `Deterministic` or `Stochastic`; None chooses as said above.
        restarts: Number of starts, unless ``optimizer`` is a `Deterministic` with its own.
        progress_bar: Whether to draw a bar where there is a terminal.
        enable_x64: Run this fit and its draws in float64, whatever JAX's flag says.
        **kwargs: Keyword arguments of the model.

    Returns:
        The fit.

    Raises:
        ValueError: Bad data, a model or guide that cannot be fitted, or a model argument whose
            name is one of this function's; the message names the site and the way out.
        FloatingPointError: A stochastic fit became NaN or infinite; step and site are named.

    Example:
        >>> import jax, numpy as np, numpyro, numpyro.distributions as dist
        >>> def model(y):
        ...     mu = numpyro.sample("mu", dist.Normal(0.0, 10.0))
        ...     numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)
        >>> fitted = fit(jax.random.key(0), model, None, np.array([2.0, 3.0, 4.0]))
        >>> fitted.log.converged, round(float(fitted.guide.median(fitted.params)["mu"]), 2)
        (True, 2.99)

    References:
        Giordano, Ingram, Broderick (2024), Black Box Variational Inference with a Deterministic
        Objective, JMLR 25(18).
    """
    _refuse_call(model, guide, kwargs)
    if not (optimizer is None or isinstance(optimizer, (Deterministic, Stochastic))):
        raise ValueError(
            f"fit: optimizer is a {type(optimizer).__name__}; expected Deterministic(...) or "
            "Stochastic(...). Leave it out, or write optimizer=Stochastic()."
        )
    if restarts < 1:
        raise ValueError(f"fit: restarts = {restarts}; expected at least 1, such as restarts=4.")
    with x64_scope(True) if enable_x64 else contextlib.nullcontext():
        call, arrays, inspection = inspect_call("fit", model, args, kwargs)
        own = not (guide is None or isinstance(guide, AbstractAutoGaussian))
        refuse_model(inspection, "fit", guided=own)
        if guide is None:
            guide = _choose_guide(model, inspection)
        if isinstance(guide, AbstractAutoGaussian):
            _refuse_guide(guide, inspection, args, kwargs)
        discrete = any(site.discrete for site in inspection.latents)
        whole = not (inspection.subsamples or inspection.parameters or discrete)
        if isinstance(optimizer, Deterministic):
            refuse_subsampling(
                inspection.plates.values(),
                "fit",
                "Deterministic needs all rows at once; leave out subsample_size, or use "
                "optimizer=Stochastic().",
            )
            if not (whole and isinstance(guide, AbstractAutoGaussian)):
                raise ValueError(
                    f"fit: Deterministic was given with {type(guide).__name__} and a model with "
                    f"the parameters {inspection.parameters}; expected AutoMeanField or "
                    "AutoFullRank and none. Use optimizer=Stochastic()."
                )
        refuse_data(inspection, inspection.observe(arrays), "fit")
        density = trace_density(model, *args, **kwargs) if whole else None
        if (
            density
            and isinstance(guide, AbstractAutoGaussian)
            and not isinstance(optimizer, Stochastic)
        ):
            compile_seconds = compile_programs(call).compile_log_density(arrays)
            optimizer = optimizer or Deterministic(num_starts=restarts)
            solve = solve_full_rank if isinstance(guide, AutoFullRank) else solve_mean_field
            seed = int(seed_from(rng_key).generate_state(1)[0])
            solution = solve(density, optimizer, seed=seed, progress_bar=progress_bar)
            log = replace(solution.log, compile_seconds=compile_seconds)
            params: Mapping[str, Any] = guide.set_gaussian(solution.loc, solution.scale)
        else:
            solution = None
            mismatches = trace_mismatches(rng_key, model, guide, args, kwargs) if own else ()
            warn_of("fit", mismatches)
            settings = optimizer or Stochastic()
            with having_told(mismatches):
                params, log = descend(
                    rng_key, call, arrays, guide, settings, restarts, progress_bar
                )
        log = replace(log, notes=(*log.notes, *_note_precision(call.x64, log)))
        # As NumPy arrays float64 parameters serve outside of the scope too.
        params = jax.tree.map(np.asarray, dict(params))
        return Fit(guide, params, log, density, solution, model, args, kwargs, call.x64)


def _choose_guide(model: Callable, inspection: Inspection) -> AbstractAutoGaussian:
    dim = sum(int(np.prod(site.unconstrained_shape)) for site in inspection.latents)
    local = any(
        plate.size != plate.subsample_size for site in inspection.latents for plate in site.plates
    )
    if local or dim > _MOST_FULL_RANK:
        return AutoMeanField(model)
    return AutoFullRank(model)


def _note_precision(x64: bool, log: FitLog) -> list[str]:
    if x64 or not len(log.losses):
        return []
    rounding = float(np.finfo(np.float32).eps) * abs(log.final_loss)
    return [
        f"float32 rounds log densities near {log.final_loss:,.0f} to about {rounding:.1g} nats; "
        "enable_x64=True runs this fit in float64"
    ]


def _refuse_call(model: Any, guide: Any, kwargs: Mapping[str, Any]) -> None:
    if not callable(model):
        raise ValueError(
            f"fit: model is a {type(model).__name__}; expected a function with numpyro.sample "
            "statements. The order is fit(rng_key, model, guide, *args)."
        )
    if isinstance(guide, type):
        raise ValueError(
            f"fit: guide is the class {guide.__name__}; expected an instance. Write "
            f"fit(rng_key, model, {guide.__name__}(model), ...)."
        )
    if not (guide is None or callable(guide)):
        raise ValueError(
            f"fit: guide is a {type(guide).__name__}; expected a guide or None before the model's "
            "arguments. Write fit(rng_key, model, None, *args)."
        )
    bound: set[str] = set()
    while isinstance(model, functools.partial):
        bound |= set(model.keywords)
        model = model.func
    try:
        names = set(inspect.signature(model).parameters) - bound
    except (TypeError, ValueError):  # a callable that does not tell
        names = set()
    for name in sorted(names & set(_OWN_NAMES) - {"rng_key", "model", "guide"}):
        raise ValueError(
            f"fit: the model has an argument '{name}', which fit uses itself; expected another "
            f"name. Bind it beforehand: fit(rng_key, functools.partial(model, {name}=...), ...)."
        )


def _refuse_guide(
    guide: AbstractAutoGaussian, inspection: Inspection, args: tuple, kwargs: Mapping[str, Any]
) -> None:
    """Set the guide up; one for another model or other shapes is refused, and left as it was."""
    before = {site.name: site.shape for site in guide.sites}
    with contextlib.ExitStack() as undo:
        undo.callback(vars(guide).update, dict(vars(guide)))
        guide._setup_prototype(*args, **kwargs)
        names, expected = [s.name for s in guide.sites], [s.name for s in inspection.latents]
        if names != expected:
            raise ValueError(
                f"fit: {type(guide).__name__} follows the sites {names}, the model has "
                f"{expected}; expected a guide of this model. Write {type(guide).__name__}(model)."
            )
        for site in guide.sites:
            if before.get(site.name, site.shape) != site.shape:
                raise ValueError(
                    f"fit: {type(guide).__name__} was set up with shape {before[site.name]} of "
                    f"site '{site.name}', the model now has {site.shape}; expected the same. Make "
                    f"a new guide for new shapes: {type(guide).__name__}(model)."
                )
        undo.pop_all()
