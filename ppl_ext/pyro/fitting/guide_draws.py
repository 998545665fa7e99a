"""Draws of a guide with both densities, in batches."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np
import torch
from pyro import poutine
from pyro.poutine.util import site_is_subsample
from torch.distributions import biject_to

from ppl_ext.diagnostics import Gaussian
from ppl_ext.draws.draws import Draws
from ppl_ext.pyro.tracing.batching import Arrays, Tensors, batch_size, model_scope, over_draws
from ppl_ext.pyro.tracing.bound_model import Program
from ppl_ext.pyro.tracing.isolation import own_random_state, whole_plates
from ppl_ext.pyro.tracing.run_at_point import Replay, Visit
from ppl_ext.pyro.tracing.site_shapes import Layout, read_layout

__all__ = ["draw_gaussian", "draw_guide", "score_samples"]


def draw_gaussian(
    program: Program,
    gaussian: Gaussian,
    num_draws: int,
    seed: int,
    *,
    likelihood: bool = True,
    posterior_predictive: bool = False,
    batched: bool = True,
) -> tuple[Draws, np.ndarray]:
    """Draws of a Gaussian on the unconstrained space of a model.

    Args:
        program: The model.
        gaussian: The guide; its log density is computed in float64.
        num_draws: Number of draws.
        seed: Seed of the draws.
        likelihood: Whether to keep the log likelihood of every datum.
        posterior_predictive: Whether to draw data too.
        batched: Whether the model can be vectorised.

    Returns:
        The draws, and the same draws on unconstrained space [draw, dim].
    """
    noise = np.random.default_rng(seed).standard_normal((num_draws, program.dim))
    # The model sees its own precision, and log q is wanted at the point that it sees.
    z = program.points(gaussian.push(noise)).double().cpu().numpy()
    layout = program.layout

    def one(point: torch.Tensor) -> Tensors:
        return _read_visit(program.visit(point), layout, likelihood, posterior_predictive)

    shapes = _shapes(layout, likelihood, posterior_predictive)
    randomness = "different" if posterior_predictive else "same"
    out = _over_draws(one, program.points(z), shapes, layout, seed, batched, randomness)
    return _to_draws(layout, out, log_q=gaussian.log_prob(z)), z


def draw_guide(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    args: tuple,
    kwargs: Mapping[str, Any],
    num_draws: int,
    seed: int,
    *,
    likelihood: bool = True,
    posterior_predictive: bool = False,
) -> tuple[Draws, np.ndarray]:
    """Draws of any guide, on all rows of all plates, in the parameter store of the moment.

    Args:
        model: The model.
        guide: The guide.
        args: Their positional arguments.
        kwargs: Their keyword arguments.
        num_draws: Number of draws.
        seed: Seed of the draws.
        likelihood: Whether to keep the log likelihood of every datum.
        posterior_predictive: Whether to draw data too.

    Returns:
        The draws, and the same draws on unconstrained space [draw, dim] (dim 0 where a latent
        site has no bijection).
    """

    def run() -> tuple[poutine.Trace, Visit]:
        trace = poutine.trace(guide).get_trace(*args, **kwargs)
        trace.compute_log_prob(lambda _, site: not site_is_subsample(site))
        point = {name: site["value"] for name, site in trace.iter_stochastic_nodes()}
        with poutine.block(), Replay(point) as visit:
            model(*args, **kwargs)
        return trace, visit

    def one(_: torch.Tensor) -> Tensors:
        trace, visit = run()
        out = _read_visit(visit, layout, likelihood, posterior_predictive)
        out["log_q"] = trace.log_prob_sum(lambda _, site: not site_is_subsample(site))
        out["z"] = _unconstrained(visit, dim)
        return out

    with whole_plates():
        with model_scope(), own_random_state(seed), torch.no_grad():
            _, visit = run()
            layout, dim = read_layout(visit.sites, visit.terms), _count_coordinates(visit)
        shapes = _shapes(layout, likelihood, posterior_predictive) | {"log_q": (), "z": (dim,)}
        points = next(iter(visit.terms.values())).new_zeros(num_draws)
        out = _over_draws(one, points, shapes, layout, seed)
    return _to_draws(layout, out, out["log_q"]), out["z"]


def score_samples(
    model: Callable[..., Any],
    args: tuple,
    kwargs: Mapping[str, Any],
    values: Mapping[str, torch.Tensor],
) -> Draws:
    """Draws that something else has made, scored by the model; ``log_q`` is zero.

    Args:
        model: The model.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        values: Constrained values of all latent sites, shape [draw, ...].
    """

    def visit_draw(index: torch.Tensor) -> Visit:
        point = {name: value.index_select(0, index[None])[0] for name, value in values.items()}
        with poutine.block(), Replay(point) as visit:
            model(*args, **kwargs)
        return visit

    def one(index: torch.Tensor) -> Tensors:
        return _read_visit(visit_draw(index), layout, likelihood=True, posterior_predictive=False)

    with whole_plates():
        rows = torch.arange(len(next(iter(values.values()))))
        with model_scope(), own_random_state(0), torch.no_grad():
            visit = visit_draw(rows[0])
            layout = read_layout(visit.sites, visit.terms)
        shapes = _shapes(layout, likelihood=True, posterior_predictive=False)
        out = _over_draws(one, rows, shapes, layout, seed=0, randomness="same")
    return _to_draws(layout, out, log_q=np.zeros(len(rows)))


def _over_draws(
    one: Callable[[torch.Tensor], Tensors],
    points: torch.Tensor,
    shapes: Mapping[Hashable, tuple[int, ...]],
    layout: Layout,
    seed: int,
    batched: bool = True,
    randomness: str = "different",
) -> Arrays:
    size = batch_size(layout.work) if batched else 1
    if size > 1:
        try:
            with own_random_state(seed):
                return over_draws(one, points, shapes, size, randomness)
        except RuntimeError:
            # vmap cannot follow; if the fault is another one, it is raised again below.
            pass
    with own_random_state(seed):
        return over_draws(one, points, shapes, 1)


def _shapes(
    layout: Layout, likelihood: bool, posterior_predictive: bool
) -> dict[Hashable, tuple[int, ...]]:
    shapes: dict[Hashable, tuple[int, ...]] = {"log_p": ()}
    shapes |= {("values", name): shape for name, shape in layout.shapes.items()}
    if likelihood:
        shapes |= {("log_likelihood", name): shape for name, shape in layout.likelihoods.items()}
    if posterior_predictive:
        for name, data in layout.observed.items():
            shapes["posterior_predictive", name] = data.shape
    return shapes


def _read_visit(
    visit: Visit, layout: Layout, likelihood: bool, posterior_predictive: bool
) -> Tensors:
    out: Tensors = {"log_p": visit.log_p}
    for name, shape in layout.shapes.items():
        out["values", name] = visit.sites[name]["value"].reshape(shape)
    if likelihood:
        for name, shape in layout.likelihoods.items():
            out["log_likelihood", name] = visit.terms[name].reshape(shape)
    if posterior_predictive:
        for name, data in layout.observed.items():
            sample = visit.sites[name]["fn"].sample()
            out["posterior_predictive", name] = sample.reshape(data.shape)
    return out


def _count_coordinates(visit: Visit) -> int:
    try:
        return len(_unconstrained(visit, None))
    except NotImplementedError:  # a discrete site, or one whose support has no bijection
        return 0


def _unconstrained(visit: Visit, dim: int | None) -> torch.Tensor:
    if dim == 0:
        return visit.log_p.new_zeros(0)
    parts = [
        biject_to(msg["fn"].support).inv(msg["value"]).reshape(-1)
        for msg in visit.sites.values()
        if not msg["is_observed"]
    ]
    return torch.cat(parts)


def _to_draws(layout: Layout, out: Arrays, log_q: np.ndarray) -> Draws:
    def group(kind: str) -> dict[str, np.ndarray]:
        return {key[1]: array for key, array in out.items() if key[0] == kind}

    return Draws(
        values=group("values"),
        log_p=out["log_p"],
        log_q=log_q,
        dims=layout.dims,
        observed=layout.observed,
        log_likelihood=group("log_likelihood"),
        posterior_predictive=group("posterior_predictive"),
    )
