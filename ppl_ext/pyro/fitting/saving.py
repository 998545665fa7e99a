"""Save a fit to one file and load it in another process."""

import os
from collections.abc import Callable
from typing import Any

import pyro
import torch

from ppl_ext.fit_file import SavedFit, check_guide_kind, read_fit
from ppl_ext.pyro.fitting.result import Fit, parameters_of
from ppl_ext.pyro.guides import AutoFullRank, AutoMeanField
from ppl_ext.pyro.tracing.batching import model_scope
from ppl_ext.pyro.tracing.bound_model import read_program
from ppl_ext.pyro.tracing.density import density_of
from ppl_ext.pyro.tracing.isolation import own_random_state
from ppl_ext.pyro.tracing.run_at_point import StochasticOnlyError

__all__ = ["load", "save_fit"]

# A file names its guide by a word of this table and never by an import path.
_GUIDES = {"AutoFullRank": AutoFullRank, "AutoMeanField": AutoMeanField}


def save_fit(fit: Fit, path: str | os.PathLike[str]) -> None:
    """Writes a fit: parameters, log and the sites they belong to; see ``Fit.save``."""
    name = check_guide_kind(fit.guide, _GUIDES, "torch.save(dict(fit.params), path)")
    own = parameters_of(fit.guide, None)
    if learned := sorted(set(fit.params) - set(own)):
        raise ValueError(
            f"Fit.save: the model has learnable parameters {learned}; expected a model whose "
            "parameters are sampled. Keep them yourself: torch.save(dict(fit.params), path)."
        )
    saved = SavedFit(
        guide=name,
        sites={site: tuple(shape) for site, shape in fit.guide._shapes.items()},
        params={key: value.cpu().numpy() for key, value in fit.guide.state_dict().items()},
        log=fit.log,
        solution=fit.solution,
    )
    saved.write(path, host="pyro", host_version=pyro.__version__)


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
        ...     fit(model, None, torch.tensor(3.0)).save(path)
        ...     fitted = load(path, model, torch.tensor(3.0))
        >>> fitted.log.converged
        True
    """
    saved = read_fit(path, host="pyro", guides=_GUIDES)
    guide = _GUIDES[saved.guide](model)
    with model_scope(), own_random_state(0):
        guide.setup(*args, **kwargs)
    saved.check_sites(path, {site: tuple(shape) for site, shape in guide._shapes.items()})
    state = {key: torch.as_tensor(value) for key, value in saved.params.items()}
    guide.load_state_dict(state)
    try:
        program = read_program(model, *args, **kwargs)
    except StochasticOnlyError:
        program = None
    density = density_of(program) if program else None
    params = parameters_of(guide, None)
    return Fit(guide, params, saved.log, density, saved.solution, model, args, kwargs, program)
