"""ArviZ trees from the host's own SVI and MCMC."""

from typing import TYPE_CHECKING, Any

import numpy as np
from pyro.infer import MCMC, SVI
from pyro.infer.autoguide import AutoLaplaceApproximation

from ppl_ext.draws.datatree import build_tree
from ppl_ext.pyro.fitting.discrete_guides import follow_guide
from ppl_ext.pyro.fitting.guide_draws import draw_guide, score_samples
from ppl_ext.pyro.tracing.bound_model import bind_model
from ppl_ext.pyro.tracing.isolation import own_random_state
from ppl_ext.pyro.tracing.refusals import refuse_data, refuse_guide
from ppl_ext.pyro.tracing.turns import in_turn

if TYPE_CHECKING:
    import xarray

__all__ = ["from_mcmc", "from_svi"]


@in_turn
def from_svi(
    svi: SVI,
    *args: Any,
    num_draws: int = 4000,
    posterior_predictive: bool = False,
    seed: int = 0,
    **kwargs: Any,
) -> "xarray.DataTree":
    """Draw from a guide that was fitted with the host's ``SVI``, as an ArviZ tree.

    Every draw carries its log density under the model (``lp``) and under the guide (``log_q``),
    so that importance weights and leave-one-out can be had from the tree. The parameters are
    those of the parameter store, as the host's ``SVI`` left them. Not for guides that cover only
    some of the model's latent sites, nor for the host's ``AutoMessenger`` guides.

    Args:
        svi: The ``SVI`` object.
        *args: Positional arguments of the model.
        num_draws: Number of draws.
        posterior_predictive: Whether to draw data too.
        seed: Seed of the draws; the random state of torch is left as it was.
        **kwargs: Keyword arguments of the model.

    Returns:
        A tree with the groups ``posterior``, ``sample_stats``, ``log_likelihood``,
        ``observed_data`` and, if asked for, ``posterior_predictive``.

    Raises:
        ValueError: The guide does not draw every latent site of the model, or is the host's
            ``AutoLaplaceApproximation``, which draws its mode alone.

    Example:
        >>> import pyro, pyro.distributions as dist, torch
        >>> from pyro.infer import SVI, Trace_ELBO
        >>> from ppl_ext.pyro import AutoMeanField, from_svi
        >>> def model(y):
        ...     mu = pyro.sample("mu", dist.Normal(0.0, 10.0))
        ...     pyro.sample("y", dist.Normal(mu, 1.0), obs=y)
        >>> svi = SVI(model, AutoMeanField(model), pyro.optim.Adam({"lr": 0.05}), Trace_ELBO())
        >>> losses = [svi.step(torch.tensor(3.0)) for _ in range(100)]
        >>> tree = from_svi(svi, torch.tensor(3.0), num_draws=100)
        >>> tree["posterior"]["mu"].shape
        (1, 100)
    """
    if isinstance(svi.guide, AutoLaplaceApproximation):
        raise ValueError(
            "from_svi: the guide is AutoLaplaceApproximation, whose program draws the mode alone, "
            "without a spread; expected a guide that draws its distribution. Give the Gaussian "
            "around the mode: svi.guide = svi.guide.laplace_approximation(*args)."
        )
    bound = bind_model("from_svi", svi.model, args, kwargs)
    refuse_data(bound)
    with own_random_state(seed):
        bound = follow_guide(bound, svi.guide)
        refuse_guide(bound, svi.guide)
    draws, _ = draw_guide(
        bound, svi.guide, num_draws, seed, posterior_predictive=posterior_predictive
    )
    return draws.to_datatree()


@in_turn
def from_mcmc(mcmc: MCMC, *args: Any, **kwargs: Any) -> "xarray.DataTree":
    """Arrange the draws of the host's ``MCMC`` like those of a fit, to lay them side by side.

    Deterministic sites, which the host does not keep, are computed again. Not for kernels without
    a model (``potential_fn``), whose draws have no sites.

    Args:
        mcmc: An ``MCMC`` that has run.
        *args: Positional arguments of the model; those of the run if there are none.
        **kwargs: Keyword arguments of the model.

    Returns:
        A tree with the groups ``posterior`` (chain, draw, plates), ``sample_stats``,
        ``log_likelihood`` and ``observed_data``.

    Raises:
        ValueError: The kernel has no model, or ``mcmc`` has not run.

    Example:
        >>> import pyro, pyro.distributions as dist, torch
        >>> from pyro.infer import MCMC, NUTS
        >>> from ppl_ext.pyro import from_mcmc
        >>> def model(y):
        ...     mu = pyro.sample("mu", dist.Normal(0.0, 10.0))
        ...     pyro.sample("y", dist.Normal(mu, 1.0), obs=y)
        >>> mcmc = MCMC(NUTS(model), num_samples=100, warmup_steps=50, disable_progbar=True)
        >>> mcmc.run(torch.tensor(3.0))
        >>> from_mcmc(mcmc)["posterior"]["mu"].shape
        (1, 100)
    """
    model = getattr(mcmc.kernel, "model", None)
    if model is None or mcmc._samples is None:
        raise ValueError(
            f"from_mcmc: {type(mcmc.kernel).__name__} has {'not run' if model else 'no model'}; "
            "expected a kernel with a model that has run. Write MCMC(NUTS(model), ...) and "
            "mcmc.run(...)."
        )
    if not (args or kwargs):
        args, kwargs = mcmc._args or (), mcmc._kwargs or {}
    samples = mcmc.get_samples(group_by_chain=True)
    chains, num_draws = next(iter(samples.values())).shape[:2]
    flat = {name: value.reshape(-1, *value.shape[2:]) for name, value in samples.items()}
    draws = score_samples(bind_model("from_mcmc", model, args, kwargs), flat)
    return build_tree(
        draws.values,
        chains=chains,
        sample_stats={"lp": draws.log_p, **_divergences(mcmc, chains, num_draws)},
        log_likelihood=draws.log_likelihood,
        weighted_log_likelihood=draws.weighted_log_likelihood,
        observed=draws.observed,
        dims=draws.dims,
    )


def _divergences(mcmc: MCMC, chains: int, num_draws: int) -> dict[str, np.ndarray]:
    # The public diagnostics() would compute effective sample sizes first.
    if any("divergences" not in chain for chain in mcmc._diagnostics):
        return {}
    diverging = np.zeros((chains, num_draws), dtype=bool)
    for chain, found in enumerate(mcmc._diagnostics):
        diverging[chain, list(found["divergences"])] = True
    return {"diverging": diverging.flatten()}
