"""Fit a guide to a Pyro model in one call."""

import copy
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from ppl_ext.density import Density
from ppl_ext.estimators.mismatch import having_told, warn_of
from ppl_ext.fitting.settings import Deterministic, Stochastic
from ppl_ext.gaussian_vi import solve_full_rank, solve_mean_field
from ppl_ext.pyro.fitting.result import Fit, parameters_of
from ppl_ext.pyro.fitting.stochastic_fit import descend
from ppl_ext.pyro.guides import AutoFullRank, AutoMeanField
from ppl_ext.pyro.guides.gaussian import AbstractGaussianGuide
from ppl_ext.pyro.tracing.batching import model_scope
from ppl_ext.pyro.tracing.bound_model import Program, read_program
from ppl_ext.pyro.tracing.density import density_of
from ppl_ext.pyro.tracing.isolation import own_param_store, own_random_state
from ppl_ext.pyro.tracing.refusals import refuse_pair
from ppl_ext.pyro.tracing.run_at_point import StochasticOnlyError

__all__ = ["fit"]

_MOST_FULL_RANK = 1000
_OWN_NAMES = {"optimizer", "restarts", "progress_bar", "seed"}


def fit(
    model: Callable[..., Any],
    guide: Callable[..., Any] | None = None,
    *args: Any,
    optimizer: Deterministic | Stochastic | None = None,
    restarts: int = 4,
    progress_bar: bool = True,
    seed: int = 0,
    **kwargs: Any,
) -> Fit:
    r"""Fit a guide to a model by maximising the evidence lower bound.

    .. math:: \max_q \ E_q [\log p(x, y) - \log q(x)]

    `AutoFullRank` and `AutoMeanField` on a model that sees all its data are solved
    deterministically: no learning rate, and the end is where the answer no longer moves. Every
    other guide or model goes to the host's ``SVI`` with `Stochastic`. The guide is started anew
    and left fitted; parameter store, random state and validation are left as they were. Not a
    proof: read ``fit(...).report()``.

    Args:
        model: Pyro model.
        guide: Guide; None for `AutoFullRank`, above 1,000 dimensions `AutoMeanField`.
        *args: Positional arguments of the model.
        optimizer: `Deterministic` or `Stochastic`; None chooses as said above.
        restarts: Number of starts, unless ``optimizer`` is a `Deterministic` with its own.
        progress_bar: Whether to draw a bar where there is a terminal.
        seed: Seed of starts and draws; the same seed gives the same answer.
        **kwargs: Keyword arguments of the model.

    Returns:
        The fit.

    Raises:
        ValueError: Bad data, a model or guide that cannot be fitted, or a model argument whose
            name is one of this function's; the message names the site and the way out.
        FloatingPointError: A stochastic fit became NaN or infinite; step and site are named.

    Example:
        >>> import pyro, pyro.distributions as dist, torch
        >>> def model(y):
        ...     mu = pyro.sample("mu", dist.Normal(0.0, 10.0))
        ...     with pyro.plate("row", len(y)):
        ...         pyro.sample("y", dist.Normal(mu, 1.0), obs=y)
        >>> fitted = fit(model, None, torch.tensor([2.0, 3.0, 4.0]))
        >>> fitted.log.converged, round(float(fitted.guide.median()["mu"]), 2)
        (True, 2.99)

    References:
        Giordano, Ingram, Broderick (2024), Black Box Variational Inference with a Deterministic
        Objective, JMLR 25(18).
    """
    _refuse_call(model, guide, args)
    if not (optimizer is None or isinstance(optimizer, (Deterministic, Stochastic))):
        raise ValueError(
            f"fit: optimizer is a {type(optimizer).__name__}; expected Deterministic(...) or "
            "Stochastic(...). Leave it out, or write optimizer=Stochastic()."
        )
    if restarts < 1:
        raise ValueError(f"fit: restarts = {restarts}; expected at least 1, such as restarts=4.")
    program, refusal = _read(model, guide, args, kwargs)
    with model_scope(), own_random_state(seed), own_param_store():
        if guide is None:
            guide = _choose_guide(model, program, args, kwargs)
        if isinstance(guide, AbstractGaussianGuide):
            _set_up(guide, args, kwargs)
        mismatches = refuse_pair("fit", model, guide, args, kwargs)
    warn_of("fit", mismatches)
    gaussian = isinstance(guide, AbstractGaussianGuide)
    if isinstance(optimizer, Deterministic) and not (program and gaussian):
        if gaussian and refusal is not None:
            raise refusal
        raise ValueError(
            f"fit: Deterministic was given with the guide {type(guide).__name__}; expected "
            "AutoMeanField or AutoFullRank. Use optimizer=Stochastic()."
        )
    density = density_of(program) if program else None
    if density and gaussian and not isinstance(optimizer, Stochastic):
        solve = solve_full_rank if isinstance(guide, AutoFullRank) else solve_mean_field
        optimizer = optimizer or Deterministic(num_starts=restarts)
        solution = solve(density, optimizer, seed=seed, progress_bar=progress_bar)
        guide.set_gaussian(solution.loc, solution.scale)
        # Fitting the same guide again must not move the draws of this fit.
        guide = copy.deepcopy(guide)
        store, log = None, solution.log
    else:
        solution = None
        settings = optimizer or Stochastic()
        with having_told(mismatches):
            store, log = descend(
                model, guide, args, kwargs, settings, restarts, seed, progress_bar
            )
    log = replace(log, notes=(*log.notes, *_note_density(density)))
    params = parameters_of(guide, store)
    return Fit(guide, params, log, density, solution, model, args, kwargs, program, store)


def _read(
    model: Callable, guide: Callable | None, args: tuple, kwargs: Mapping[str, Any]
) -> tuple[Program | None, ValueError | None]:
    """The model with its density; None and the reason if only stochastic gradients can fit it."""
    try:
        return read_program(model, *args, **kwargs), None
    except ValueError as error:
        told = ValueError(str(error).replace("trace_density:", "fit:", 1))
        custom = not (guide is None or isinstance(guide, AbstractGaussianGuide))
        if isinstance(error, StochasticOnlyError) or custom:
            return None, told
        raise told from error


def _choose_guide(
    model: Callable, program: Program | None, args: tuple, kwargs: Mapping[str, Any]
) -> AbstractGaussianGuide:
    if program is not None:
        return AutoFullRank(model) if program.dim <= _MOST_FULL_RANK else AutoMeanField(model)
    guide = AutoMeanField(model).setup(*args, **kwargs)
    local = any(
        frame.full_size not in (None, frame.size) for frame in guide._prototype_frames.values()
    )
    if local or len(guide.gaussian()[0]) > _MOST_FULL_RANK:
        return guide
    return AutoFullRank(model)


def _set_up(guide: AbstractGaussianGuide, args: tuple, kwargs: Mapping[str, Any]) -> None:
    """Starts the guide; one that was set up with other shapes is refused, and left as it was."""
    kind = type(guide).__name__
    before = {} if guide.prototype_trace is None else dict(guide._shapes)
    trial = copy.deepcopy(guide) if before else guide
    try:
        trial.setup(*args, **kwargs)
    except TypeError as error:
        raise ValueError(
            f"fit: the model of {kind} stopped at these arguments ({error}); expected the guide "
            f"of the model that is fitted. Write {kind}(model)."
        ) from error
    for name, shape in trial._shapes.items():
        if before.get(name, shape) != shape:
            raise ValueError(
                f"fit: {kind} was set up with shape {tuple(before[name])} of site {name!r}, the "
                f"model now has {tuple(shape)}; expected the same. Make a new guide for new "
                f"shapes: {kind}(model)."
            )
    if trial is not guide:
        guide.setup(*args, **kwargs)


def _note_density(density: Density | None) -> list[str]:
    if density is None or density.batched:
        return []
    return [
        "the model could not be vectorised and was called draw by draw; write branches on sampled "
        "values with torch.where"
    ]


def _refuse_call(model: Any, guide: Any, args: tuple) -> None:
    if not callable(model):
        raise ValueError(
            f"fit: model is a {type(model).__name__}; expected a function with pyro.sample "
            "statements. The order is fit(model, guide, *args)."
        )
    if isinstance(guide, type):
        raise ValueError(
            f"fit: guide is the class {guide.__name__}; expected an instance. Write "
            f"fit(model, {guide.__name__}(model), ...)."
        )
    if not (guide is None or callable(guide)):
        raise ValueError(
            f"fit: guide is a {type(guide).__name__}; expected a guide or None before the model's "
            "arguments. Write fit(model, None, *args)."
        )
    bound: set[str] = set()
    while isinstance(model, functools.partial):
        bound |= set(model.keywords)
        model = model.func
    try:
        # A module's own __call__ takes anything; its forward tells.
        tells = model.forward if isinstance(model, torch.nn.Module) else model
        names = list(inspect.signature(tells).parameters)
    except (TypeError, ValueError):  # a callable that does not tell
        names = []
    for name in names[len(args) :]:
        if name in _OWN_NAMES - bound:
            raise ValueError(
                f"fit: the model has an argument {name!r}, which fit uses itself; expected "
                f"another name. Bind it: fit(functools.partial(model, {name}=...), ...)."
            )
