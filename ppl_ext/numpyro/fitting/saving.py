"""Save a fit to one file and load it in another process."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpyro

from ppl_ext.fit_file import SavedFit, check_guide_kind, read_fit
from ppl_ext.numpyro.guides import AutoFullRank, AutoMeanField
from ppl_ext.numpyro.tracing.bound_model import x64_scope
from ppl_ext.numpyro.tracing.density import trace_where_whole

if TYPE_CHECKING:
    from ppl_ext.numpyro.fitting.result import Fit

__all__ = ["load", "save_fit"]

# A file names its guide by a word of this table and never by an import path.
_GUIDES = {"AutoFullRank": AutoFullRank, "AutoMeanField": AutoMeanField}


def save_fit(fit: "Fit", path: str | os.PathLike[str]) -> None:
    """Write a fit: parameters, log and the sites they belong to; see ``Fit.save``."""
    saved = SavedFit(
        guide=check_guide_kind(fit.guide, _GUIDES, "numpy.savez(path, **fit.params)"),
        sites={site.name: site.shape for site in fit.guide.sites},
        params=fit.params,
        log=fit.log,
        solution=fit.solution,
        settings={"prefix": fit.guide.prefix, "x64": fit.x64},
    )
    saved.write(path, host="numpyro", host_version=numpyro.__version__)


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

    saved = read_fit(path, host="numpyro", guides=_GUIDES)
    x64 = saved.settings["x64"]
    with x64_scope(x64):
        guide = _GUIDES[saved.guide](model, prefix=saved.settings["prefix"])
        guide._setup_prototype(*args, **kwargs)
        saved.check_sites(path, {site.name: site.shape for site in guide.sites})
        density = trace_where_whole(model, args, kwargs)
    return Fit(guide, saved.params, saved.log, density, saved.solution, model, args, kwargs, x64)
