"""Save a fit to one file and load it in another process."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpyro

from ppl_ext.fit_file import pack_run, select_arrays, unpack_run
from ppl_ext.numpyro.guides import AutoFullRank, AutoMeanField
from ppl_ext.numpyro.tracing.bound_model import x64_scope
from ppl_ext.numpyro.tracing.density import trace_where_whole
from ppl_ext.storage import read_arrays, write_arrays

if TYPE_CHECKING:
    from ppl_ext.numpyro.fitting.result import Fit

__all__ = ["load", "save_fit"]

# A file names its guide by a word of this table and never by an import path.
_GUIDES = {"AutoFullRank": AutoFullRank, "AutoMeanField": AutoMeanField}


def save_fit(fit: "Fit", path: str | os.PathLike[str]) -> None:
    """Write a fit: parameters, log and the sites they belong to; see ``Fit.save``."""
    name = type(fit.guide).__name__
    if _GUIDES.get(name) is not type(fit.guide):
        raise ValueError(
            f"Fit.save: the guide is a {name}; expected one of {', '.join(_GUIDES)}. Keep the "
            "parameters of other guides yourself: numpy.savez(path, **fit.params)."
        )
    arrays = {f"params/{key}": np.asarray(value) for key, value in fit.params.items()}
    run, run_header = pack_run(fit.log, fit.solution)
    header = {
        "kind": "fit",
        "host": "numpyro",
        "host_version": numpyro.__version__,
        "guide": name,
        "prefix": fit.guide.prefix,
        "sites": {site.name: list(site.shape) for site in fit.guide.sites},
        "x64": fit.x64,
        **run_header,
    }
    write_arrays(path, arrays | run, header)


def load(
    path: str | os.PathLike[str], model: Callable[..., Any], *args: Any, **kwargs: Any
) -> "Fit":
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
        >>> import jax, numpyro, numpyro.distributions as dist, pathlib, tempfile
        >>> from ppl_ext.numpyro import fit, load
        >>> def model(y):
        ...     mu = numpyro.sample("mu", dist.Normal(0.0, 10.0))
        ...     numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "fit.safetensors")
        ...     fit(jax.random.key(0), model, None, 3.0).save(path)
        ...     fitted = load(path, model, 3.0)
        >>> fitted.log.converged
        True
    """
    from ppl_ext.numpyro.fitting.result import Fit

    arrays, header = read_arrays(path, kind="fit")
    if header.get("host") != "numpyro" or header.get("guide") not in _GUIDES:
        raise ValueError(
            f"load: '{os.fspath(path)}' is a fit of {header.get('host')} with the guide "
            f"{header.get('guide')}; expected numpyro and one of {', '.join(_GUIDES)}. Load it "
            f"with ppl_ext.{header.get('host')}.load, or with a newer ppl_ext."
        )
    with x64_scope(header["x64"]):
        guide = _GUIDES[header["guide"]](model, prefix=header["prefix"])
        guide._setup_prototype(*args, **kwargs)
        sites = {site.name: list(site.shape) for site in guide.sites}
        if sites != header["sites"]:
            raise ValueError(
                f"load: '{os.fspath(path)}' was fitted to the sites {header['sites']} "
                f"(unconstrained shapes), the model has {sites}; expected the same. Give the "
                "model and the shapes of data that were fitted."
            )
        params = select_arrays(arrays, "params/")
        density = trace_where_whole(model, args, kwargs)
    log, solution = unpack_run(arrays, header)
    return Fit(guide, params, log, density, solution, model, args, kwargs, header["x64"])
