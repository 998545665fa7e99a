"""Where a log density that is not finite comes from, in words."""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from ppl_ext.pyro.tracing.arguments import find_invalid_arguments
from ppl_ext.pyro.tracing.bound_model import BoundModel
from ppl_ext.pyro.tracing.enumeration.factors import best_over_assignments
from ppl_ext.pyro.tracing.isolation import model_scope, own_random_state
from ppl_ext.pyro.tracing.run_at_point import Visit, support_of

__all__ = ["explain_point"]


def explain_point(bound: BoundModel, log_density: Callable, z: np.ndarray) -> str:
    """Names the sites whose log density is not finite at z[dim]; empty if there is none."""
    z = np.asarray(z, dtype=np.float64)
    try:
        with model_scope(), own_random_state(0), torch.no_grad():
            visit = bound.visit(bound.points(z[None])[0])
    except (torch.linalg.LinAlgError, ValueError) as error:
        return f"the model raised {type(error).__name__}: {error}"
    found = [
        _describe_term(visit, name, term)
        for name, term in _best_terms(visit)
        if not term.isfinite().all()
    ]
    found += [
        f"the bijection of site {name!r} overflows"
        for name, jacobian in visit.jacobians.items()
        if not jacobian.isfinite().all()
    ]
    if found:
        return "; ".join(found)
    gradient = log_density(z[None])[1][0]
    blind = [
        repr(site.name)
        for site in bound.coordinates
        if not np.isfinite(gradient[site.start : site.stop]).all()
    ]
    if blind:
        return f"the gradient of the log density is not finite at site(s) {', '.join(blind)}"
    return ""


def _best_terms(visit: Visit) -> Iterator[tuple[str, torch.Tensor]]:
    for name, term in visit.terms.items():
        if visit.first_dim is not None:
            term = best_over_assignments(term, visit.first_dim)
        yield name, term


def _describe_term(visit: Visit, name: str, term: torch.Tensor) -> str:
    msg = visit.sites[name]
    kind = type(msg["fn"]).__name__
    role = "observed" if msg["is_observed"] else "latent"
    bad = term[~term.isfinite()]
    text = f"the log density of {role} site {name!r} ({kind}) is {float(bad.flatten()[0])}"
    support = support_of(msg)
    inside = torch.ones(()) if support is None else support.check(msg["value"])
    if visit.first_dim is not None:
        inside = best_over_assignments(inside, visit.first_dim)
    outside = int((inside == 0).sum())
    if outside:
        text += f": {outside} of its {term.numel()} values lie outside the support"
    for argument, valid in find_invalid_arguments(msg["fn"]):
        if not valid.all():
            text += f": its argument {argument} lies outside of its bounds"
    return text
