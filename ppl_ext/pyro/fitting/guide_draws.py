"""Draws of a guide with both densities, in batches."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from pyro import poutine
from pyro.poutine.util import site_is_subsample

from ppl_ext.diagnostics import Gaussian
from ppl_ext.draws.counts import read_counts
from ppl_ext.draws.draws import Draws
from ppl_ext.pyro.guides.flat import AbstractFlatGuide
from ppl_ext.pyro.guides.gaussian import AbstractGaussianGuide
from ppl_ext.pyro.tracing.batched_density import Arrays, Tensors, batch_size, over_draws
from ppl_ext.pyro.tracing.bound_model import BoundModel
from ppl_ext.pyro.tracing.isolation import own_random_state, vectorised_noise, whole_plates
from ppl_ext.pyro.tracing.ordinary_data import mask_of
from ppl_ext.pyro.tracing.run_at_point import Replay, Visit, bijection_of
from ppl_ext.pyro.tracing.sites import Latent, Observed, name_dims

__all__ = ["draw_flat", "draw_guide", "score_samples"]

_Shapes = Mapping[Hashable, tuple[int, ...]]


def draw_flat(
    bound: BoundModel,
    guide: AbstractFlatGuide,
    num_draws: int,
    seed: int,
    *,
    likelihood: bool = True,
    posterior_predictive: bool = False,
    batched: bool = True,
) -> tuple[Draws, np.ndarray]:
    """Draws of a guide on the unconstrained space of a model that sees all rows.

    Args:
        bound: The model.
        guide: The guide; the log density of a Gaussian one is computed in float64.
        num_draws: Number of draws.
        seed: Seed of the draws.
        likelihood: Whether to keep the log likelihood of every datum.
        posterior_predictive: Whether to draw data too.
        batched: Whether the model can be vectorised.

    Returns:
        The draws, and the same draws on unconstrained space [draw, dim].
    """
    noise = np.random.default_rng(seed).standard_normal((num_draws, bound.dim))
    if isinstance(guide, AbstractGaussianGuide):
        gaussian = Gaussian(*guide.gaussian())
        # The model sees its own precision, and log q is wanted at the point that it sees.
        z = bound.points(gaussian.push(noise)).double().cpu().numpy()
        log_q = gaussian.log_prob(z)
    else:
        z, log_q = guide.push_noise(noise)
    shapes = _shapes(bound, likelihood, posterior_predictive)

    def one(point: torch.Tensor) -> Tensors:
        return _read_visit(bound.visit(point), shapes)

    randomness = "different" if posterior_predictive else "same"
    size = batch_size(bound.work) if batched else 1
    out = _over_draws(one, bound.points(z), shapes, size, seed, randomness)
    return _to_draws(bound, out, log_q=log_q), z


def draw_guide(
    bound: BoundModel,
    guide: Callable[..., Any],
    num_draws: int,
    seed: int,
    *,
    likelihood: bool = True,
    posterior_predictive: bool = False,
) -> tuple[Draws, np.ndarray]:
    """Draws of any guide, on all rows of all plates, in the parameter store of the moment.

    Args:
        bound: The model.
        guide: The guide.
        num_draws: Number of draws.
        seed: Seed of the draws.
        likelihood: Whether to keep the log likelihood of every datum.
        posterior_predictive: Whether to draw data too.

    Returns:
        The draws, and the same draws on unconstrained space [draw, dim] (dim 0 where a latent
        site has no bijection).
    """
    whole = bound.whole
    followed = all(site.unconstrained_shape is not None for site in whole.sites.latents)
    shapes = _shapes(whole, likelihood, posterior_predictive)
    shapes |= {"log_q": (), "z": (whole.dim if followed else 0,)}

    def one(_: torch.Tensor) -> Tensors:
        trace = poutine.trace(guide).get_trace(*whole.args, **whole.kwargs)
        trace.compute_log_prob(lambda _, site: not site_is_subsample(site))
        point = {name: site["value"] for name, site in trace.iter_stochastic_nodes()}
        with poutine.block(), Replay(point) as visit:
            whole.run()
        out = _read_visit(visit, shapes)
        out["log_q"] = trace.log_prob_sum(lambda _, site: not site_is_subsample(site))
        out["z"] = _unconstrained(visit) if followed else visit.log_p.new_zeros(0)
        return out

    with whole_plates():
        points = torch.zeros(num_draws, device=whole.device)
        out = _over_draws(one, points, shapes, batch_size(whole.work), seed, "different")
    return _to_draws(whole, out, out["log_q"]), out["z"]


def score_samples(bound: BoundModel, values: Mapping[str, torch.Tensor]) -> Draws:
    """Draws that something else has made, scored by the model; ``log_q`` is zero.

    Args:
        bound: The model.
        values: Constrained values of all latent sites, shape [draw, ...].
    """
    whole = bound.whole
    shapes = _shapes(whole, likelihood=True, posterior_predictive=False)

    def one(index: torch.Tensor) -> Tensors:
        point = {name: value.index_select(0, index[None])[0] for name, value in values.items()}
        with poutine.block(), Replay(point) as visit:
            whole.run()
        return _read_visit(visit, shapes)

    with whole_plates():
        rows = torch.arange(len(next(iter(values.values()))))
        out = _over_draws(one, rows, shapes, batch_size(whole.work), 0, "same")
    return _to_draws(whole, out, log_q=np.zeros(len(rows)))


def _over_draws(
    one: Callable[[torch.Tensor], Tensors],
    points: torch.Tensor,
    shapes: _Shapes,
    size: int,
    seed: int,
    randomness: str,
) -> Arrays:
    if size > 1:
        try:
            with own_random_state(seed), vectorised_noise():
                return over_draws(one, points, shapes, size, randomness)
        except RuntimeError:
            # vmap cannot follow; if the fault is another one, it is raised again below.
            pass
    with own_random_state(seed):
        return over_draws(one, points, shapes, 1)


def _shapes(
    bound: BoundModel, likelihood: bool, posterior_predictive: bool
) -> dict[Hashable, tuple[int, ...]]:
    shapes: dict[Hashable, tuple[int, ...]] = {"log_p": ()}
    shapes |= {("values", name): shape for name, shape in bound.sites.valued.items()}
    for site in bound.sites.observed:
        if likelihood:
            shapes["log_likelihood", site.name] = site.likelihood_shape
        if posterior_predictive:
            shapes["posterior_predictive", site.name] = site.unpadded_shape
    return shapes


def _read_visit(visit: Visit, shapes: _Shapes) -> Tensors:
    out: Tensors = {"log_p": visit.log_p}
    for key, shape in shapes.items():
        match key:
            case ("values", name):
                out[key] = visit.sites[name]["value"].reshape(shape)
            case ("log_likelihood", name):
                out[key] = _hide(visit.terms[name], visit.sites[name]).reshape(shape)
            case ("posterior_predictive", name):
                # Data without a plate share a distribution of fewer values.
                fn, batch = visit.sites[name]["fn"], visit.terms[name].shape
                fn = fn if fn.batch_shape == batch else fn.expand(batch)
                out[key] = fn.sample().reshape(shape)
    return out


def _hide(term: torch.Tensor, msg: dict) -> torch.Tensor:
    """The log likelihood of the data, NaN where a mask hides them: no datum to leave out."""
    mask = mask_of(msg)
    return term if mask is None else torch.where(torch.as_tensor(mask), term, torch.nan)


def _unconstrained(visit: Visit) -> torch.Tensor:
    parts = [
        bijection_of(msg).inv(msg["value"]).reshape(-1)
        for msg in visit.sites.values()
        if not msg["is_observed"]
    ]
    return torch.cat(parts)


def _to_draws(bound: BoundModel, out: Arrays, log_q: np.ndarray) -> Draws:
    def group(kind: str) -> dict[str, np.ndarray]:
        return {key[1]: array for key, array in out.items() if key[0] == kind}

    return Draws(
        values=read_counts(_discrete(bound.sites.latents), group("values")),
        log_p=out["log_p"],
        log_q=log_q,
        dims=name_dims(bound.sites),
        observed=bound.observed,
        log_likelihood=group("log_likelihood"),
        posterior_predictive=read_counts(
            _discrete(bound.sites.observed), group("posterior_predictive")
        ),
    )


def _discrete(sites: Iterable[Latent | Observed]) -> list[str]:
    return [site.name for site in sites if site.discrete]
