"""Load a fit that another process has saved."""

import os
from collections.abc import Callable
from typing import Any

import torch

from ppl_ext.climbing import unpack_climb
from ppl_ext.fit_file import read_fit
from ppl_ext.pyro.fitting.own_copies import read_params
from ppl_ext.pyro.fitting.parameters import find_parameters
from ppl_ext.pyro.fitting.result import SAVED_GUIDES, Fit
from ppl_ext.pyro.guides.flow import restore_flow
from ppl_ext.pyro.tracing.bound_model import bind_model
from ppl_ext.pyro.tracing.density import density_of
from ppl_ext.pyro.tracing.isolation import model_scope, own_random_state
from ppl_ext.pyro.tracing.turns import in_turn

__all__ = ["load"]


@in_turn
def load(
    path: str | os.PathLike[str], model: Callable[..., Any], *args: Any, **kwargs: Any
) -> Fit:
    """Read a fit that ``Fit.save`` wrote.

    The file holds numbers, not code: model and data are given again, and are checked against the
    sites of the fit. Not for fits of the other host.

    Args:
        path: The file.
        model: The model that was fitted.
        *args: Positional arguments of the model.
        **kwargs: Keyword arguments of the model.

    Returns:
        The fit, as it was saved.

    Raises:
        ValueError: The file is damaged or holds something else, or its sites are not the model's.
        FileNotFoundError: There is no such file.

    Example:
        >>> import pathlib, pyro, pyro.distributions as dist, tempfile, torch
        >>> from ppl_ext.pyro import fit, load
        >>> def model(y):
        ...     mu = pyro.sample("mu", dist.Normal(0.0, 10.0))
        ...     pyro.sample("y", dist.Normal(mu, 1.0), obs=y)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "fit.safetensors")
        ...     fit(model, torch.tensor(3.0)).save(path)
        ...     fitted = load(path, model, torch.tensor(3.0))
        >>> fitted.log.converged
        True
    """
    saved = read_fit(path, host="pyro", guides=SAVED_GUIDES)
    bound = bind_model("load", model, args, kwargs)
    if saved.theta is not None:
        parameters = find_parameters(bound, seed=0)
        saved.check_parameters(path, len(parameters.theta))
        bound = bound.hold(parameters.at(saved.theta))
    bound = bound.centred(saved.centering) if saved.centering else bound
    options = {"flow": restore_flow(saved.settings["flow"])} if "flow" in saved.settings else {}
    guide = SAVED_GUIDES[saved.guide](bound.model if saved.centering else model, **options)
    with model_scope(), own_random_state(0):
        guide.setup(*bound.args, **bound.kwargs)
    saved.check_sites(path, {site: tuple(shape) for site, shape in guide._shapes.items()})
    guide.load_state_dict({key: torch.as_tensor(value) for key, value in saved.params.items()})
    density = density_of(bound) if bound.has_density else None
    params = read_params(guide, bound.held)
    climb = None if saved.climb is None else unpack_climb(*saved.climb, density)
    return Fit(guide, params, saved.log, density, saved.solution, bound, climb, _store=bound.held)
