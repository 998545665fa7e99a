"""Fit a guide to a Pyro model in one call."""

import copy
import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from pyro.infer.autoguide import AutoGuide
from pyro.optim import PyroOptim

from ppl_ext.climbing import read_climb, start_settings
from ppl_ext.correction import Correction
from ppl_ext.estimators.mismatch import having_told, warn_of
from ppl_ext.fitting.calls import check_guide, check_model, refuse_guide_by_position
from ppl_ext.fitting.settings import Deterministic, Stochastic, read_optimizer
from ppl_ext.pyro.fitting.beyond_guide import climb_beyond
from ppl_ext.pyro.fitting.deterministic import fit_deterministic
from ppl_ext.pyro.fitting.discrete_guides import follow_guide, make_guide, refuse_objective
from ppl_ext.pyro.fitting.notes import add_notes
from ppl_ext.pyro.fitting.own_copies import copy_fitted, read_params
from ppl_ext.pyro.fitting.parameters import find_obstacle, fit_with_parameters
from ppl_ext.pyro.fitting.result import Fit
from ppl_ext.pyro.fitting.stochastic_fit import fit_stochastic
from ppl_ext.pyro.guides import AutoFlow, AutoFullRank, AutoMeanField
from ppl_ext.pyro.guides.flat import AbstractFlatGuide
from ppl_ext.pyro.guides.gaussian import AbstractGaussianGuide
from ppl_ext.pyro.objectives.mismatch import find_mismatches
from ppl_ext.pyro.tracing.bound_model import BoundModel, bind_model
from ppl_ext.pyro.tracing.density import density_of
from ppl_ext.pyro.tracing.isolation import model_scope, own_param_store, own_random_state
from ppl_ext.pyro.tracing.refusals import (
    refuse_data,
    refuse_enumerated,
    refuse_guide,
    refuse_latents,
    refuse_subsampling,
)
from ppl_ext.pyro.tracing.turns import in_turn

__all__ = ["fit"]

_MOST_FULL_RANK = 1000
_LINE = "fit(model"
_OWN_NAMES = ("guide", "optimizer", "climb", "num_starts", "progress_bar", "seed")


@in_turn
def fit(
    model: Callable[..., Any],
    *args: Any,
    guide: Callable[..., Any] | type | None = None,
    optimizer: Deterministic | Stochastic | PyroOptim | torch.optim.Optimizer | None = None,
    climb: bool | Correction = True,
    num_starts: int = 4,
    progress_bar: bool = True,
    seed: int = 0,
    **kwargs: Any,
) -> Fit:
    r"""Fit a guide to a model by maximising the evidence lower bound, and climb on from it.

    .. math:: \max_q \ E_q [\log p(x, y) - \log q(x)]

    Where no guide is named, the report on the best Gaussian decides: if its draws are not good,
    they are resampled by their importance weights, and if that will not do, sequential Monte
    Carlo carries them to the posterior. ``fit(...).draws`` are then draws that may be used, and
    ``fit(...).report()`` tells the steps and the verdict.

    `AutoFullRank` and `AutoMeanField` on a model that sees all its data are solved
    deterministically: no learning rate, and the end is where the answer no longer moves. Up to 300
    parameters of the model (``param`` statements, modules) climb the same bound, from their values
    in the model, and are point estimates. A flow, `AutoFlow`, goes on from a Gaussian in stages
    that stop by themselves, where the model has no parameters. Every other guide or model goes to
    the host's ``SVI`` with `Stochastic`; of parameters the log says why. A guide that is given is
    started anew and left fitted, and the fit keeps a copy of its own; parameter store, random
    state and validation are left as they were. Discrete sites that are marked,
    ``infer={"enumerate": "parallel"}``, are summed out unless the guide draws them, and
    ``fit(...).draws`` draws them given the rest. Not a proof: read ``fit(...).report()``.

    Args:
        model: Pyro model.
        *args: Positional arguments of the model.
        guide: Guide, or a class that is called with the model; None for `AutoFullRank`, above
            1,000 dimensions `AutoMeanField`.
        optimizer: `Deterministic` or `Stochastic`, or an optimiser of the host or of torch, which
            is taken for ``Stochastic(optim=...)``; None chooses as said above.
        climb: Whether to go on from a Gaussian that nobody named, or a `Correction`, which says
            what sequential Monte Carlo is asked for and may cost; False ends with the guide.
        num_starts: Number of starts.
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
        >>> fitted = fit(model, torch.tensor([2.0, 3.0, 4.0]))
        >>> fitted.log.converged, round(float(fitted.guide.median()["mu"]), 2)
        (True, 2.99)

    References:
        Giordano, Ingram, Broderick (2024), Black Box Variational Inference with a Deterministic
        Objective, JMLR 25(18).
    """
    check_model(
        model, args, host="pyro", line=_LINE, reserved=_OWN_NAMES, signature_of=_signature_of
    )
    refuse_guide_by_position(
        model, args, kwargs, guides=(AutoGuide,), line=_LINE, signature_of=_signature_of
    )
    check_guide(guide, _LINE)
    hosts = (PyroOptim, torch.optim.Optimizer)
    settings = read_optimizer(optimizer, num_starts, 4, hosts, _LINE)
    road = "optimizer" if isinstance(settings, Stochastic) else ""
    correction = read_climb(climb, named="guide" if guide is not None else road, line=_LINE)
    bound = bind_model("fit", model, args, kwargs)
    with model_scope(), own_random_state(seed), own_param_store():
        guide, bound = _make_guide(guide, bound)
        _refuse(bound, guide, settings)
        refuse_objective(bound, settings)
        mismatches = find_mismatches(*refuse_guide(bound, guide))
    warn_of("fit", mismatches)
    density = density_of(bound) if bound.has_density else None
    flat = isinstance(guide, AbstractFlatGuide)
    deterministic = flat and not isinstance(settings, Stochastic)
    obstacle = find_obstacle(bound, guide) if deterministic else ""
    store = solution = None
    if deterministic and bound.sites.parameters and not obstacle:
        settings = settings or start_settings(num_starts, climbs=correction is not None)
        bound, solution = fit_with_parameters(bound, guide, settings, seed, progress_bar)
        guide, store, log = copy.deepcopy(guide), bound.held, solution.log
        density = density_of(bound)
    elif density and deterministic:
        settings = settings or start_settings(num_starts, climbs=correction is not None)
        if isinstance(guide, AutoFlow):
            from ppl_ext.pyro.fitting.flows.flow_fit import fit_flow  # slow to import

            log = fit_flow(density, guide, settings, seed, progress_bar)
        else:
            solution = fit_deterministic(density, guide, settings, seed, progress_bar)
            log = solution.log
        guide = copy.deepcopy(guide)
    else:
        settings = settings or _choose_steps(guide)
        with having_told(mismatches):
            store, log = fit_stochastic(bound, guide, settings, num_starts, seed, progress_bar)
        guide, store = copy_fitted(guide, store)
    if obstacle:
        note = f"stochastic gradients were used, for {obstacle}"
        log = replace(log, notes=(*log.notes, note))
    log = add_notes(log, bound, density)
    params = read_params(guide, store)
    fitted = Fit(guide, params, log, density, solution, bound, _store=store)
    if correction is None:
        return fitted
    return climb_beyond(fitted, settings, correction, seed, progress_bar)


def _choose_steps(guide: Callable[..., Any]) -> Stochastic:
    # The weights of a network bear smaller steps than means and scales.
    return Stochastic(step_size=0.003) if isinstance(guide, AutoFlow) else Stochastic()


def _signature_of(model: Callable[..., Any]) -> inspect.Signature:
    # A module's own __call__ takes anything; its forward tells.
    return inspect.signature(model.forward if isinstance(model, torch.nn.Module) else model)


def _make_guide(
    guide: Callable[..., Any] | type | None, bound: BoundModel
) -> tuple[Callable[..., Any], BoundModel]:
    """The guide, set up where it is one of ours, and the model as it sees it."""
    if isinstance(guide, type):
        guide = make_guide(guide, bound)
    own = not (guide is None or isinstance(guide, AbstractFlatGuide))
    bound = follow_guide(bound, guide)
    refuse_latents(bound, may_be_discrete=own)
    refuse_enumerated(bound)
    if guide is None:
        guide = _choose_guide(bound)
    if isinstance(guide, AbstractFlatGuide):
        _set_up(guide, bound)
    return guide, bound


def _choose_guide(bound: BoundModel) -> AbstractGaussianGuide:
    local = any(plate.subsamples for site in bound.sites.latents for plate in site.plates)
    kind = AutoMeanField if local or bound.dim > _MOST_FULL_RANK else AutoFullRank
    return kind(bound.model)


def _set_up(guide: AbstractFlatGuide, bound: BoundModel) -> None:
    """Set a guide up; one that was set up with other shapes is refused, and left as it was."""
    kind = type(guide).__name__
    before = dict(guide._shapes)
    trial = copy.deepcopy(guide) if before else guide
    try:
        trial.setup(*bound.args, **bound.kwargs)
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
        guide.setup(*bound.args, **bound.kwargs)


def _refuse(
    bound: BoundModel, guide: Callable[..., Any], settings: Deterministic | Stochastic | None
) -> None:
    """Raise for data that no fit can follow, and for a road that this model or guide bars."""
    if isinstance(settings, Deterministic):
        refuse_subsampling(bound, "Or keep it: fit(model, ..., optimizer=Stochastic()).")
        if not isinstance(guide, AbstractFlatGuide):
            raise ValueError(
                f"fit: Deterministic was given with the guide {type(guide).__name__}; expected "
                "AutoMeanField, AutoFullRank or AutoFlow. Use optimizer=Stochastic()."
            )
        obstacle = find_obstacle(bound, guide)
        if obstacle:
            raise ValueError(
                f"fit: Deterministic was given and {obstacle}; expected parameters that have one "
                "optimum for all draws. Use optimizer=Stochastic()."
            )
    refuse_data(bound)
