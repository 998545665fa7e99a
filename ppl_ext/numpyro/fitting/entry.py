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

from ppl_ext.estimators.mismatch import having_told, warn_of
from ppl_ext.fitting.calls import check_guide, check_model, refuse_guide_by_position
from ppl_ext.fitting.fit_log import FitLog
from ppl_ext.fitting.settings import Deterministic, Stochastic, read_optimizer
from ppl_ext.numpyro.fitting.deterministic import fit_deterministic
from ppl_ext.numpyro.fitting.result import Fit
from ppl_ext.numpyro.fitting.stochastic_fit import fit_stochastic
from ppl_ext.numpyro.guides import AutoFullRank, AutoMeanField
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
from ppl_ext.numpyro.tracing.rng_keys import check_rng_key
from ppl_ext.numpyro.tracing.turns import in_turn

__all__ = ["fit"]

_MOST_FULL_RANK = 1000
_LINE = "fit(rng_key, model"
_OWN_NAMES = ("guide", "optimizer", "num_starts", "progress_bar", "enable_x64")
_HostOptimizer = numpyro.optim._NumPyroOptim | optax.GradientTransformation


@in_turn
def fit(
    rng_key: jax.Array,
    model: Callable[..., Any],
    *args: Any,
    guide: Callable[..., Any] | type | None = None,
    optimizer: Deterministic | Stochastic | _HostOptimizer | None = None,
    num_starts: int = 4,
    progress_bar: bool = True,
    enable_x64: bool = False,
    **kwargs: Any,
) -> Fit:
    r"""Fit a guide to a model by maximising the evidence lower bound.

    .. math:: \max_q \ E_q [\log p(x, y) - \log q(x)]

    `AutoFullRank` and `AutoMeanField` on a model that sees all its data are solved
    deterministically: no learning rate, and the end is where the answer no longer moves.
    `AutoFlow` there begins in the frame of that Gaussian, learns draws of the posterior and then
    the bound, and stops by itself. Every other guide or model goes to the host's ``SVI`` with
    `Stochastic`. A second fit to data of the same shapes compiles nothing. Not a proof: read
    ``fit(...).report()``.

    Args:
        rng_key: Random key; the same key gives the same answer.
        model: NumPyro model.
        *args: Positional arguments of the model.
        guide: Guide, or a class that is called with the model; None for `AutoFullRank`, above
            1,000 dimensions `AutoMeanField`.
        optimizer: `Deterministic` or `Stochastic`, or an optimiser of the host or of optax, which
            is taken for ``Stochastic(optim=...)``; None chooses as said above.
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
    with x64_scope(True) if enable_x64 else contextlib.nullcontext():
        bound = bind_model("fit", model, args, kwargs)
        guide = _make_guide(guide, bound)
        _refuse(bound, guide, settings)
        density = density_of(bound) if bound.has_density else None
        own = isinstance(guide, AbstractFlatGuide)
        if density and own and not isinstance(settings, Stochastic):
            settings = settings or Deterministic(num_starts=num_starts)
            params, log, solution = fit_deterministic(
                rng_key, bound, density, guide, settings, progress_bar
            )
        else:
            settings, solution = settings or Stochastic(), None
            args, kwargs = bound.given
            mismatches = () if own else trace_mismatches(rng_key, model, guide, args, kwargs)
            warn_of("fit", mismatches)
            with having_told(mismatches):
                params, log = fit_stochastic(
                    rng_key, bound, guide, settings, num_starts, progress_bar
                )
        log = replace(
            log, notes=(*log.notes, *_note_precision(bound.x64, log), *_note_circles(bound))
        )
        # As NumPy arrays float64 parameters serve outside of the scope too.
        params = jax.tree.map(np.asarray, dict(params))
        if own:
            # Fitting the same guide again must not show this fit other data.
            guide = copy.copy(guide)
        return Fit(guide, params, log, density, solution, bound)


def _make_guide(guide: Callable[..., Any] | type | None, bound: BoundModel) -> Callable[..., Any]:
    """The guide, set up where it is one of ours."""
    if isinstance(guide, type):
        guide = guide(bound.model)
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
        if not (bound.has_density and isinstance(guide, AbstractFlatGuide)):
            raise ValueError(
                f"fit: Deterministic was given with {type(guide).__name__} and a model with the "
                f"parameters {bound.sites.parameters}; expected AutoMeanField, AutoFullRank "
                "or AutoFlow and none. Use optimizer=Stochastic()."
            )
    # Elsewhere every step and every draw runs the model with a key of its own.
    if isinstance(guide, AbstractFlatGuide) and not bound.sites.parameters:
        refuse_hidden_draws(bound)
    refuse_data(bound)


def _note_precision(x64: bool, log: FitLog) -> list[str]:
    if x64 or not len(log.losses):
        return []
    rounding = float(np.finfo(np.float32).eps) * abs(log.final_loss)
    return [
        f"float32 rounds log densities near {log.final_loss:,.0f} to about {rounding:.1g} nats; "
        "enable_x64=True runs this fit in float64"
    ]


def _note_circles(bound: BoundModel) -> list[str]:
    return [
        f"site '{site.name}' is circular and was cut open at -pi and pi; where its mass lies "
        "across the cut, turn the circle: sample an angle that is pi less, "
        f"{site.distribution}(loc - jnp.pi, ...), and write "
        f"numpyro.deterministic('{site.name}', angle + jnp.pi)"
        for site in bound.sites.latents
        if site.circular
    ]
