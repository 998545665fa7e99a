"""Draws of a guide with both densities, in batches."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from pyro import poutine
from pyro.poutine.util import site_is_subsample

from ppl_ext.climbing import Points
from ppl_ext.diagnostics import Gaussian
from ppl_ext.draws.counts import read_counts
from ppl_ext.draws.draws import Draws
from ppl_ext.pyro.fitting.visit_values import Shapes, list_shapes, read_visit
from ppl_ext.pyro.guides.flat import AbstractFlatGuide
from ppl_ext.pyro.guides.gaussian import AbstractGaussianGuide
from ppl_ext.pyro.tracing.batched_density import Arrays, Tensors, batch_size, over_draws
from ppl_ext.pyro.tracing.bound_model import BoundModel
from ppl_ext.pyro.tracing.isolation import own_random_state, whole_plates
from ppl_ext.pyro.tracing.run_at_point import Visit, bijection_of
from ppl_ext.pyro.tracing.sites import Latent, Observed, name_dims
from ppl_ext.pyro.tracing.vectorisation.operations import vectorised_noise

__all__ = ["draw_flat", "draw_guide", "score_points", "score_samples"]


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
    draws = score_points(
        bound,
        Points(z, log_q),
        seed,
        likelihood=likelihood,
        posterior_predictive=posterior_predictive,
        batched=batched,
    )
    return draws, z


def score_points(
    bound: BoundModel,
    points: Points,
    seed: int,
    *,
    likelihood: bool = True,
    posterior_predictive: bool = False,
    batched: bool = True,
) -> Draws:
    """Score points on the unconstrained space of a model that sees all rows.

    Args:
        bound: The model.
        points: The points and what they were drawn from.
        seed: Seed of the data that are drawn.
        likelihood: Whether to keep the log likelihood of every datum.
        posterior_predictive: Whether to draw data too.
        batched: Whether the model can be vectorised.

    Returns:
        The draws, their densities on unconstrained space.
    """
    shapes = list_shapes(bound, likelihood, posterior_predictive)

    def one(point: torch.Tensor) -> Tensors:
        return read_visit(bound, bound.visit(point), shapes)

    randomness = "different" if posterior_predictive or bound.sites.enumerated else "same"
    size = batch_size(bound.num_floats) if batched else 1
    with bound.in_force():
        out = _over_draws(one, bound.points(points.z), shapes, size, seed, randomness)
    draws = _to_draws(bound, out, out["log_p"] if points.log_q is None else points.log_q)
    return replace(draws, chains=points.chains, resampled=points.resampled)


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
    shapes = list_shapes(whole, likelihood, posterior_predictive)
    shapes |= {"log_q": (), "z": (whole.dim if followed else 0,)}

    def one(_: torch.Tensor) -> Tensors:
        trace = poutine.trace(guide).get_trace(*whole.args, **whole.kwargs)
        trace.compute_log_prob(lambda _, site: not site_is_subsample(site))
        point = {name: site["value"] for name, site in trace.iter_stochastic_nodes()}
        visit = whole.replay(point)
        out = read_visit(whole, visit, shapes)
        out["log_q"] = trace.log_prob_sum(lambda _, site: not site_is_subsample(site))
        out["z"] = _unconstrained(whole, visit) if followed else visit.log_p.new_zeros(0)
        return out

    with whole_plates():
        points = torch.zeros(num_draws, device=whole.device)
        out = _over_draws(one, points, shapes, batch_size(whole.num_floats), seed, "different")
    return _to_draws(whole, out, out["log_q"]), out["z"]


def score_samples(bound: BoundModel, values: Mapping[str, torch.Tensor]) -> Draws:
    """Draws that something else has made, scored by the model; ``log_q`` is zero.

    Args:
        bound: The model.
        values: Constrained values of all latent sites, shape [draw, ...].
    """
    whole = bound.whole
    shapes = list_shapes(whole, likelihood=True, posterior_predictive=False)

    def one(index: torch.Tensor) -> Tensors:
        point = {name: value.index_select(0, index[None])[0] for name, value in values.items()}
        return read_visit(whole, whole.replay(point), shapes)

    with whole_plates():
        rows = torch.arange(len(next(iter(values.values()))))
        randomness = "different" if whole.sites.enumerated else "same"
        out = _over_draws(one, rows, shapes, batch_size(whole.num_floats), 0, randomness)
    return _to_draws(whole, out, log_q=np.zeros(len(rows)))


def _over_draws(
    one: Callable[[torch.Tensor], Tensors],
    points: torch.Tensor,
    shapes: Shapes,
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


def _unconstrained(bound: BoundModel, visit: Visit) -> torch.Tensor:
    messages = [visit.sites[site.name] for site in bound.sites.latents]
    return torch.cat([bijection_of(msg).inv(msg["value"]).reshape(-1) for msg in messages])


def _to_draws(bound: BoundModel, out: Arrays, log_q: np.ndarray) -> Draws:
    latents = (*bound.sites.latents, *bound.sites.enumerated)

    def group(kind: str) -> dict[str, np.ndarray]:
        return {key[1]: array for key, array in out.items() if key[0] == kind}

    return Draws(
        values=read_counts(_discrete(latents), group("values")),
        log_p=out["log_p"],
        log_q=log_q,
        dims=name_dims(bound.sites),
        observed=bound.observed,
        log_likelihood=group("log_likelihood"),
        weighted_log_likelihood=group("weighted_log_likelihood"),
        posterior_predictive=read_counts(
            _discrete(bound.sites.observed), group("posterior_predictive")
        ),
    )


def _discrete(sites: Iterable[Latent | Observed]) -> list[str]:
    return [site.name for site in sites if site.discrete]
