"""Fit a guide to a NumPyro model in one call."""

import contextlib
import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import jax
import numpy as np
import numpyro
import optax
from numpyro.infer.autoguide import AutoGuide

from ppl_ext.climbing import read_climb, start_settings
from ppl_ext.correction import Correction
from ppl_ext.estimators.mismatch import having_told, warn_of
from ppl_ext.fitting.calls import check_guide, check_model, refuse_guide_by_position
from ppl_ext.fitting.settings import Deterministic, Stochastic, read_optimizer
from ppl_ext.numpyro.fitting.beyond_guide import climb_beyond
from ppl_ext.numpyro.fitting.deterministic import fit_deterministic
from ppl_ext.numpyro.fitting.discrete_guides import leave_to, show_to
from ppl_ext.numpyro.fitting.notes import add_notes
from ppl_ext.numpyro.fitting.parameters import find_obstacle, fit_with_parameters
from ppl_ext.numpyro.fitting.result import Fit
from ppl_ext.numpyro.fitting.stochastic_fit import fit_stochastic
from ppl_ext.numpyro.guides import AutoFlow, AutoFullRank, AutoMeanField
from ppl_ext.numpyro.guides.flat import AbstractFlatGuide
from ppl_ext.numpyro.guides.gaussian import AbstractGaussianGuide
from ppl_ext.numpyro.objectives.mismatch import trace_mismatches
from ppl_ext.numpyro.tracing.bound_model import BoundModel, bind_model, x64_scope
from ppl_ext.numpyro.tracing.density import density_of
from ppl_ext.numpyro.tracing.refusals import (
    refuse_data,
    refuse_hidden_draws,
    refuse_latents,
    refuse_subsampling,
)
from ppl_ext.numpyro.tracing.rng_keys import check_rng_key, refuse_traced
from ppl_ext.numpyro.tracing.turns import in_turn

__all__ = ["fit"]

_MOST_FULL_RANK = 1000
_LINE = "fit(rng_key, model"
_OWN_NAMES = ("guide", "optimizer", "climb", "num_starts", "progress_bar", "enable_x64")
_HostOptimizer = numpyro.optim._NumPyroOptim | optax.GradientTransformation


@in_turn
def fit(
    rng_key: jax.Array,
    model: Callable[..., Any],
    *args: Any,
    guide: Callable[..., Any] | type | None = None,
    optimizer: Deterministic | Stochastic | _HostOptimizer | None = None,
    climb: bool | Correction = True,
    num_starts: int = 4,
    progress_bar: bool = True,
    enable_x64: bool = False,
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
    in the model, and are point estimates. A flow, `AutoFlow`, goes on from there in stages that
    stop by themselves, where the model has no parameters. Every other guide or model goes to the
    host's ``SVI`` with `Stochastic`; of parameters the log says why. A second fit to data of
    the same shapes compiles nothing. Discrete sites that are marked,
    ``infer={"enumerate": "parallel"}``, are summed out unless the guide draws them, and
    ``fit(...).draws`` draws them given the rest. Not a proof: read ``fit(...).report()``.

    Args:
        rng_key: Random key; the same key gives the same answer.
        model: NumPyro model.
        *args: Positional arguments of the model.
        guide: Guide, or a class that is called with the model; None for `AutoFullRank`, above
            1,000 dimensions `AutoMeanField`.
        optimizer: `Deterministic` or `Stochastic`, or an optimiser of the host or of optax, which
            is taken for ``Stochastic(optim=...)``; None chooses as said above.
        climb: Whether to go on from a Gaussian that nobody named, or a `Correction`, which says
            what sequential Monte Carlo is asked for and may cost; False ends with the guide.
        num_starts: Number of starts.
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
        >>> fitted = fit(jax.random.key(0), model, np.array([2.0, 3.0, 4.0]))
        >>> fitted.log.converged, round(float(fitted.guide.median(fitted.params)["mu"]), 2)
        (True, 2.99)

    References:
        Giordano, Ingram, Broderick (2024), Black Box Variational Inference with a Deterministic
        Objective, JMLR 25(18).
    """
    check_rng_key("fit", rng_key, "fit(jax.random.key(0), model, *args)")
    check_model(model, args, host="numpyro", line=_LINE, reserved=_OWN_NAMES)
    refuse_guide_by_position(model, args, kwargs, guides=(AutoGuide,), line=_LINE)
    check_guide(guide, _LINE)
    settings = read_optimizer(optimizer, num_starts, 4, get_args(_HostOptimizer), _LINE)
    road = "optimizer" if isinstance(settings, Stochastic) else ""
    correction = read_climb(climb, named="guide" if guide is not None else road, line=_LINE)
    with x64_scope(True) if enable_x64 else contextlib.nullcontext():
        bound = bind_model("fit", model, args, kwargs)
        refuse_traced("fit", (rng_key, *bound.arrays))
        if isinstance(guide, type):
            guide = guide(show_to(guide, bound))
        bound = leave_to(guide, bound)
        guide = _make_guide(guide, bound)
        _refuse(bound, guide, settings)
        density = density_of(bound) if bound.has_density else None
        flat = isinstance(guide, AbstractFlatGuide)
        deterministic = flat and not isinstance(settings, Stochastic)
        obstacle = find_obstacle(bound, guide) if deterministic else ""
        if deterministic and bound.sites.parameters and not obstacle:
            settings = settings or start_settings(num_starts, climbs=correction is not None)
            bound, params, log, solution = fit_with_parameters(
                rng_key, bound, guide, settings, progress_bar
            )
            density = density_of(bound)
        elif density and deterministic:
            settings = settings or start_settings(num_starts, climbs=correction is not None)
            params, log, solution = fit_deterministic(
                rng_key, bound, density, guide, settings, progress_bar
            )
        else:
            settings, solution = settings or _choose_steps(guide), None
            args, kwargs = bound.given
            mismatches = () if flat else trace_mismatches(rng_key, model, guide, args, kwargs)
            warn_of("fit", mismatches)
            with having_told(mismatches):
                params, log = fit_stochastic(
                    rng_key, bound, guide, settings, num_starts, progress_bar
                )
        if obstacle:
            note = f"stochastic gradients were used, for {obstacle}"
            log = replace(log, notes=(*log.notes, note))
        log = add_notes(log, bound)
        # As NumPy arrays float64 parameters serve outside of the scope too.
        params = jax.tree.map(np.asarray, dict(params))
        if flat:
            # Fitting the same guide again must not show this fit other data.
            guide = copy.copy(guide)
        fitted = Fit(guide, params, log, density, solution, bound)
    if correction is None:
        return fitted
    return climb_beyond(rng_key, fitted, settings, correction, progress_bar)


def _choose_steps(guide: Callable[..., Any]) -> Stochastic:
    # The weights of a network bear smaller steps than means and scales.
    return Stochastic(step_size=0.003) if isinstance(guide, AutoFlow) else Stochastic()


def _make_guide(guide: Callable[..., Any] | None, bound: BoundModel) -> Callable[..., Any]:
    """The guide, set up where it is one of ours."""
    own = not (guide is None or isinstance(guide, AbstractFlatGuide))
    refuse_latents(bound, may_be_discrete=own)
    if guide is None:
        guide = _choose_guide(bound)
    if isinstance(guide, AbstractFlatGuide):
        _set_up(guide, bound)
    return guide


def _choose_guide(bound: BoundModel) -> AbstractGaussianGuide:
    latents = bound.sites.latents
    dim = sum(math.prod(site.unconstrained_shape) for site in latents)
    local = any(plate.subsamples for site in latents for plate in site.plates)
    kind = AutoMeanField if local or dim > _MOST_FULL_RANK else AutoFullRank
    return kind(bound.model)


def _set_up(guide: AbstractFlatGuide, bound: BoundModel) -> None:
    """Set a guide up; one for another model or other shapes is refused, and left as it was."""
    kind = type(guide).__name__
    before = {site.name: site.shape for site in guide.sites}
    with contextlib.ExitStack() as undo:
        undo.callback(vars(guide).update, dict(vars(guide)))
        if guide.model is bound.model:
            guide._set_up(bound)
        else:
            args, kwargs = bound.given
            guide._setup_prototype(*args, **kwargs)
        names, expected = [s.name for s in guide.sites], [s.name for s in bound.sites.latents]
        if names != expected:
            raise ValueError(
                f"fit: {kind} follows the sites {names}, the model has {expected}; expected a "
                f"guide of this model. Write {kind}(model)."
            )
        for site in guide.sites:
            if before.get(site.name, site.shape) != site.shape:
                raise ValueError(
                    f"fit: {kind} was set up with shape {before[site.name]} of site "
                    f"'{site.name}', the model now has {site.shape}; expected the same. Make a "
                    f"new guide for new shapes: {kind}(model)."
                )
        undo.pop_all()


def _refuse(
    bound: BoundModel, guide: Callable[..., Any], settings: Deterministic | Stochastic | None
) -> None:
    """Raise for data that no fit can follow, and for a road that this model or guide bars."""
    if isinstance(settings, Deterministic):
        refuse_subsampling(
            bound,
            "Deterministic needs all rows at once; leave out subsample_size, or use "
            "optimizer=Stochastic().",
        )
        if not isinstance(guide, AbstractFlatGuide):
            raise ValueError(
                f"fit: Deterministic was given with {type(guide).__name__}; expected "
                "AutoMeanField, AutoFullRank or AutoFlow. Use optimizer=Stochastic()."
            )
        obstacle = find_obstacle(bound, guide)
        if obstacle:
            raise ValueError(
                f"fit: Deterministic was given and {obstacle}; expected parameters that have one "
                "optimum for all draws. Use optimizer=Stochastic()."
            )
    # Elsewhere every step and every draw runs the model with a key of its own.
    if isinstance(guide, AbstractFlatGuide) and not bound.sites.parameters:
        refuse_hidden_draws(bound)
    refuse_data(bound)
