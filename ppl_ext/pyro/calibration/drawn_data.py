"""What a Pyro model draws in place of its data, after a look at whether it draws their like."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from pyro import poutine
from pyro.poutine.util import site_is_subsample

from ppl_ext.npe.answers.refusals import refuse_data_reader, refuse_masked, refuse_scaled
from ppl_ext.pyro.calibration.simulation import condition_on, trace_simulation
from ppl_ext.pyro.tracing.bound_model import BoundModel
from ppl_ext.pyro.tracing.data.ordinary_data import mask_of
from ppl_ext.pyro.tracing.isolation import model_scope, own_param_store, own_random_state
from ppl_ext.pyro.tracing.run_at_point import is_deterministic
from ppl_ext.pyro.tracing.turns import in_turn

__all__ = ["read_types"]


@in_turn
def read_types(bound: BoundModel, observed: Sequence[str]) -> dict[str, np.dtype]:
    """The types in which a model draws its data, after a look at whether they are like its data.

    Args:
        bound: The model with its arguments.
        observed: Sites that are observed.

    Raises:
        ValueError: A mask hides data, a handler scales a density, or the model reads its data
            elsewhere than in ``obs=``.
    """
    with model_scope(), own_random_state(0), own_param_store(), torch.no_grad():
        look = trace_simulation(bound).nodes
    sites = {
        name: site
        for name, site in look.items()
        if site["type"] == "sample" and not (site_is_subsample(site) or is_deterministic(site))
    }
    for name, site in sites.items():
        mask = mask_of(site) if name in observed else None
        if mask is not None:
            shown = torch.as_tensor(mask).expand(site["fn"].batch_shape)
            refuse_masked(name, shown.cpu().numpy())
        if not (torch.as_tensor(site["scale"]) == 1).all():
            refuse_scaled(name)
    values = {name: site["value"] for name, site in sites.items()}
    before = _score(bound, values, bound.args, bound.kwargs)
    after = _score(bound, values, *_change_data(bound, observed))
    refuse_data_reader(before, after)
    return {name: values[name].cpu().numpy().dtype for name in observed}


def _score(
    bound: BoundModel, values: Mapping[str, torch.Tensor], args: tuple, kwargs: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Log densities of values by site, given these arguments of the model."""
    conditioned = condition_on(bound.model)
    with model_scope(), own_random_state(0), own_param_store(), torch.no_grad():
        trace = poutine.trace(conditioned).get_trace(dict(values), *args, **kwargs)
        trace.compute_log_prob()
    return {name: trace.nodes[name]["log_prob_sum"].cpu().numpy() for name in values}


def _change_data(bound: BoundModel, observed: Sequence[str]) -> tuple[tuple, dict[str, Any]]:
    """The arguments of a model, other numbers in place of those that come again as data."""
    rng = np.random.default_rng(0)

    def shift(x: torch.Tensor) -> torch.Tensor:
        # Upwards, for counts and other data that are not negative.
        return x + torch.as_tensor(rng.uniform(0.5, 1.5, x.shape), dtype=x.dtype, device=x.device)

    given = bound.args, dict(bound.kwargs)
    changed = _map_floats(shift, given)
    try:
        with model_scope(), own_random_state(0), own_param_store(), torch.no_grad():
            trace = poutine.trace(bound.model).get_trace(*changed[0], **changed[1])
    except (ArithmeticError, AssertionError, IndexError, RuntimeError, ValueError):
        return given  # a model that takes such data alone as these cannot be asked
    seen = [torch.as_tensor(trace.nodes[name]["value"]).cpu().numpy().ravel() for name in observed]
    data = np.concatenate(seen)
    return _map_floats(lambda old, new: _take_data(old, new, data), given, changed)


def _take_data(old: torch.Tensor, new: torch.Tensor, data: np.ndarray) -> torch.Tensor:
    is_data = torch.as_tensor(np.isin(new.cpu().numpy(), data), device=old.device)
    return torch.where(is_data, new, old)


def _map_floats(function: Callable[..., Any], *trees: Any) -> Any:
    """Arguments with their tensors of floats changed, those in tuples, lists and mappings too."""
    first = trees[0]
    if isinstance(first, torch.Tensor) and first.is_floating_point() and not first.requires_grad:
        return function(*trees)
    if isinstance(first, np.ndarray) and first.dtype.kind == "f":
        return function(*map(torch.as_tensor, trees)).numpy()
    if type(first) in (list, tuple):
        return type(first)(_map_floats(function, *parts) for parts in zip(*trees, strict=True))
    if type(first) is dict:
        return {name: _map_floats(function, *(tree[name] for tree in trees)) for name in first}
    return first
