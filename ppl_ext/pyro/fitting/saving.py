"""Save a fit to one file and load it in another process."""

import os
from collections.abc import Callable
from typing import Any

import pyro
import torch

from ppl_ext.fit_file import pack_run, select_arrays, unpack_run
from ppl_ext.pyro.fitting.result import Fit, parameters_of
from ppl_ext.pyro.guides import AutoFullRank, AutoMeanField
from ppl_ext.pyro.tracing.batching import model_scope
from ppl_ext.pyro.tracing.bound_model import read_program
from ppl_ext.pyro.tracing.density import density_of
from ppl_ext.pyro.tracing.isolation import own_random_state
from ppl_ext.pyro.tracing.run_at_point import StochasticOnlyError
from ppl_ext.storage import read_arrays, write_arrays

__all__ = ["load", "save_fit"]

# A file names its guide by a word of this table and never by an import path.
_GUIDES = {"AutoFullRank": AutoFullRank, "AutoMeanField": AutoMeanField}


def save_fit(fit: Fit, path: str | os.PathLike[str]) -> None:
    """Writes a fit: parameters, log and the sites they belong to; see ``Fit.save``."""
    name = type(fit.guide).__name__
    if _GUIDES.get(name) is not type(fit.guide):
        raise ValueError(
            f"Fit.save: the guide is a {name}; expected one of {', '.join(_GUIDES)}. Keep the "
            "parameters of other guides yourself: torch.save(dict(fit.params), path)."
        )
    own = parameters_of(fit.guide, None)
    if learned := sorted(set(fit.params) - set(own)):
        raise ValueError(
            f"Fit.save: the model has learnable parameters {learned}; expected a model whose "
            "parameters are sampled. Keep them yourself: torch.save(dict(fit.params), path)."
        )
    state = fit.guide.state_dict()
    arrays = {f"params/{key}": value.cpu().numpy() for key, value in state.items()}
    run, run_header = pack_run(fit.log, fit.solution)
    header = {
        "kind": "fit",
        "host": "pyro",
        "host_version": pyro.__version__,
        "guide": name,
        "sites": {site: list(shape) for site, shape in fit.guide._shapes.items()},
        **run_header,
    }
    write_arrays(path, arrays | run, header)


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
    arrays, header = read_arrays(path, kind="fit")
    if header.get("host") != "pyro" or header.get("guide") not in _GUIDES:
        raise ValueError(
            f"load: '{os.fspath(path)}' is a fit of {header.get('host')} with the guide "
            f"{header.get('guide')}; expected pyro and one of {', '.join(_GUIDES)}. Load it "
            f"with ppl_ext.{header.get('host')}.load, or with a newer ppl_ext."
        )
    guide = _GUIDES[header["guide"]](model)
    with model_scope(), own_random_state(0):
        guide.setup(*args, **kwargs)
    sites = {site: list(shape) for site, shape in guide._shapes.items()}
    if sites != header["sites"]:
        raise ValueError(
            f"load: '{os.fspath(path)}' was fitted to the sites {header['sites']} "
            f"(unconstrained shapes), the model has {sites}; expected the same. Give the model "
            "and the shapes of data that were fitted."
        )
    state = {
        key: torch.as_tensor(value) for key, value in select_arrays(arrays, "params/").items()
    }
    guide.load_state_dict(state)
    try:
        program = read_program(model, *args, **kwargs)
    except StochasticOnlyError:
        program = None
    density = density_of(program) if program else None
    log, solution = unpack_run(arrays, header)
    params = parameters_of(guide, None)
    return Fit(guide, params, log, density, solution, model, args, kwargs, program)
