"""Why a log density is not finite at a point, in one sentence."""

from collections.abc import Callable

import numpy as np
import torch

from ppl_ext.pyro.tracing.bound_model import Program
from ppl_ext.pyro.tracing.isolation import own_random_state, unvalidated
from ppl_ext.pyro.tracing.messages import support_of
from ppl_ext.pyro.tracing.run_at_point import Visit

__all__ = ["explain_point"]


def explain_point(program: Program, log_density: Callable, z: np.ndarray) -> str:
    """Names the sites whose log density is not finite at z[dim]; empty if there is none."""
    z = np.asarray(z, dtype=np.float64)
    point = torch.as_tensor(z, dtype=program.dtype, device=program.device)
    try:
        with unvalidated(), own_random_state(0), torch.no_grad():
            visit = program.visit(point)
    except (torch.linalg.LinAlgError, ValueError) as error:
        return f"the model raised {type(error).__name__}: {error}"
    found = [
        _describe_term(visit, name, term)
        for name, term in visit.terms.items()
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
        for site in program.sites
        if not np.isfinite(gradient[site.start : site.stop]).all()
    ]
    if blind:
        return f"the gradient of the log density is not finite at site(s) {', '.join(blind)}"
    return ""


def _describe_term(visit: Visit, name: str, term: torch.Tensor) -> str:
    msg = visit.sites[name]
    kind = type(msg["fn"]).__name__
    role = "observed" if msg["is_observed"] else "latent"
    bad = term[~term.isfinite()]
    text = f"the log density of {role} site {name!r} ({kind}) is {float(bad.flatten()[0])}"
    support = support_of(msg)
    outside = 0 if support is None else int((~support.check(msg["value"])).sum())
    if outside:
        text += f": {outside} of its {term.numel()} values lie outside the support"
    return text
