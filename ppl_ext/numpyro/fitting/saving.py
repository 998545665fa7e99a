"""Load a fit that another process has saved."""

import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ppl_ext.climbing import unpack_climb
from ppl_ext.fit_file import read_fit
from ppl_ext.numpyro.fitting.parameters import read_parameters
from ppl_ext.numpyro.fitting.result import SAVED_GUIDES, Fit
from ppl_ext.numpyro.fitting.saved_parameters import nest_parameters, restore_options
from ppl_ext.numpyro.tracing.bound_model import bind_model, x64_scope
from ppl_ext.numpyro.tracing.density import density_of
from ppl_ext.numpyro.tracing.refusals import refuse_data
from ppl_ext.numpyro.tracing.turns import in_turn

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
        >>> import jax, numpyro, numpyro.distributions as dist, pathlib, tempfile
        >>> from ppl_ext.numpyro import fit, load
        >>> def model(y):
        ...     mu = numpyro.sample("mu", dist.Normal(0.0, 10.0))
        ...     numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "fit.safetensors")
        ...     fit(jax.random.key(0), model, 3.0).save(path)
        ...     fitted = load(path, model, 3.0)
        >>> fitted.log.converged
        True
    """
    saved = read_fit(path, host="numpyro", guides=SAVED_GUIDES)
    with x64_scope(saved.settings["x64"]):
        bound = bind_model("load", model, args, kwargs)
        if saved.theta is not None:
            layout = bound.call.parameters
            saved.check_parameters(path, layout.size if layout else 0)
            bound = bound.hold(saved.theta)
        refuse_data(bound)
        bound = bound.centred(saved.centering) if saved.centering else bound
        guide = SAVED_GUIDES[saved.guide](bound.model, **restore_options(saved.settings))
        guide._set_up(bound)
        saved.check_sites(path, {site.name: site.shape for site in guide.sites})
        density = density_of(bound) if bound.has_density else None
        climb = None if saved.climb is None else unpack_climb(*saved.climb, density)
        of_model = jax.tree.map(np.asarray, read_parameters(bound))
        params = nest_parameters(guide, saved.params) | of_model
    return Fit(guide, params, saved.log, density, saved.solution, bound, climb)
