"""What is read of one run of a model: values, log likelihoods, predicted data."""

from collections.abc import Hashable, Mapping

import torch

from ppl_ext.pyro.tracing.batched_density import Tensors
from ppl_ext.pyro.tracing.bound_model import BoundModel
from ppl_ext.pyro.tracing.data.ordinary_data import mask_of
from ppl_ext.pyro.tracing.enumeration.per_datum import find_local_factors, score_data
from ppl_ext.pyro.tracing.run_at_point import ChangedSitesError, Visit

__all__ = ["Shapes", "list_shapes", "read_visit"]

Shapes = Mapping[Hashable, tuple[int, ...]]


def list_shapes(
    bound: BoundModel, likelihood: bool, posterior_predictive: bool
) -> dict[Hashable, tuple[int, ...]]:
    """Shapes of what is read of a run, by the name of it or by kind and site."""
    shapes: dict[Hashable, tuple[int, ...]] = {"log_p": ()}
    # A verdict is on what is fitted: it takes no likelihood, and no assignments.
    valued = bound.sites.valued if likelihood else bound.settled
    shapes |= {("values", name): shape for name, shape in valued.items()}
    told = bound.enumeration
    for site in bound.sites.observed:
        if likelihood and (told is None or site.name in told.separable):
            shapes["log_likelihood", site.name] = site.likelihood_shape
            if site.weighted:
                shapes["weighted_log_likelihood", site.name] = site.likelihood_shape
        if posterior_predictive:
            shapes["posterior_predictive", site.name] = site.unpadded_shape
    return shapes


def read_visit(bound: BoundModel, visit: Visit, shapes: Shapes) -> Tensors:
    """Read a run; enumerated sites are drawn first where their values are wanted."""
    out: Tensors = {"log_p": visit.log_p}
    settled = {("values", name) for name in bound.settled}
    drawn = any(key[0] in ("values", "posterior_predictive") for key in shapes.keys() - settled)
    assigned = bound.assign(visit) if drawn else visit
    for key, shape in shapes.items():
        match key:
            case ("values", name):
                out[key] = assigned.sites[name]["value"].reshape(shape)
            case ("log_likelihood", name):
                out[key] = _hide(_score_data(visit, name), visit.sites[name]).reshape(shape)
            case ("weighted_log_likelihood", name):
                out[key] = _hide(visit.terms[name], visit.sites[name]).reshape(shape)
            case ("posterior_predictive", name):
                # Data without a plate share a distribution of fewer values.
                fn, batch = assigned.sites[name]["fn"], assigned.terms[name].shape
                fn = fn if fn.batch_shape == batch else fn.expand(batch)
                out[key] = fn.sample().reshape(shape)
    return out


def _score_data(visit: Visit, name: str) -> torch.Tensor:
    """The log likelihood of each datum of a site, its own enumerated sites summed out."""
    local = frozenset() if visit.first_dim is None else find_local_factors(visit.factors, name)
    if local is None:
        raise ChangedSitesError(
            f"draws: the data of site {name!r} did not hang on one another when the model was "
            "first run, and do so at a draw; expected the same structure in every run. Write "
            "the choice with torch.where."
        )
    # Data that hang on enumerated sites are never scaled.
    return score_data(visit.factors, name, local) if local else visit.unscaled[name]


def _hide(term: torch.Tensor, msg: dict) -> torch.Tensor:
    """The log likelihood of the data, NaN where a mask hides them: no datum to leave out."""
    mask = mask_of(msg)
    return term if mask is None else torch.where(torch.as_tensor(mask), term, torch.nan)
