"""Leave-one-out cross-validation of draws that come from a guide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ppl_ext.draws.draws import Draws

if TYPE_CHECKING:
    import xarray

__all__ = ["estimate_loo"]


def estimate_loo(
    draws: Draws | xarray.DataTree, *, site: str | None = None, pointwise: bool | None = None
) -> Any:
    r"""Estimate the expected log predictive density of each datum, left out.

    Importance sampling from the guide to the posterior without datum i, with log weights
    ``log p - log q - log p(y_i | draw)``, Pareto-smoothed. ArviZ's ``loo`` leaves out
    ``log p - log q``: it takes the draws for the posterior's own and is wrong for a guide by as
    much as the guide is. Draws that follow the posterior, resampled or from the chains of a fit,
    are taken for what they are. Draws of MCMC belong to ``arviz_stats.loo``.

    Where a handler scales the data, as for a tempered posterior or weighted rows, a datum is left
    out with its weight, ``log p - log q - weight log p(y_i | draw)``, and predicted without.

    Args:
        draws: Draws with ``log_likelihood``, or their tree.
        site: The observed site; may be None where there is one.
        pointwise: Keep the value and k-hat of every datum; ArviZ's setting if None.

    Returns:
        ``arviz_stats.ELPDData`` with ``elpd``, ``se``, ``p`` and, pointwise, ``elpd_i`` and
        ``pareto_k``; ``arviz_stats.compare`` takes it.

    Raises:
        ValueError: A tree without ``lp`` and ``log_q``, no log likelihood, or several observed
            sites and none chosen.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> x, y = rng.normal(size=2000), np.array([0.3, -0.1])
        >>> log_likelihood = -0.5 * (y - x[:, None]) ** 2 - 0.5 * np.log(2 * np.pi)
        >>> draws = Draws(
        ...     {"x": x},
        ...     log_p=log_likelihood.sum(1) - x**2 / 2,
        ...     log_q=-(x**2) / 2,
        ...     log_likelihood={"y": log_likelihood},
        ... )
        >>> round(float(estimate_loo(draws).elpd), 1)
        -2.3

    References:
        Magnusson, Andersen, Jonasson, Vehtari (2019), Bayesian leave-one-out cross-validation
        for large data, ICML, arXiv:1904.10679.
    """
    import arviz_stats

    tree = draws.to_datatree() if isinstance(draws, Draws) else draws
    # The tree's own mark may be lost on the way through a file, that of its draws is not.
    own = bool(tree.attrs.get("resampled") or tree["posterior"].attrs.get("resampled"))
    stats = tree.children.get("sample_stats")
    if not own and (stats is None or "lp" not in stats or "log_q" not in stats):
        raise ValueError(
            "estimate_loo: the tree has no sample_stats 'lp' and 'log_q'; both are needed for "
            "draws of a guide. For draws of MCMC use arviz_stats.loo(tree)."
        )
    scored = tree["log_likelihood"].data_vars if "log_likelihood" in tree.children else ()
    observed = tree["observed_data"].data_vars if "observed_data" in tree.children else ()
    tied = sorted(str(name) for name in observed if name not in scored)
    if site in tied or (site is None and tied and not scored):
        raise ValueError(
            f"estimate_loo: the data of {tied} have no log likelihood one by one; expected data "
            "that are independent given the draws. Discrete sites that were summed out tie them "
            "together, as in a hidden Markov model: leave out a whole series, by a fit without it."
        )
    if "log_likelihood" not in tree.children:
        raise ValueError(
            "estimate_loo: the draws carry no log likelihood; expected one entry for each datum. "
            "Does the model have an observed site?"
        )
    sites = sorted(str(name) for name in tree["log_likelihood"].data_vars)
    if (site is None and len(sites) > 1) or (site is not None and site not in sites):
        raise ValueError(
            f"estimate_loo: site={site!r}, but the observed sites are {sites}. "
            f"Choose one: estimate_loo(draws, site={sites[0]!r})."
        )
    chosen = sites[0] if site is None else site
    tree = _drop_missing(tree, chosen)
    arviz: Any = arviz_stats  # untyped
    weighted = tree.children.get("weighted_log_likelihood")
    if weighted is not None and chosen in weighted:
        left_out: Any = weighted[chosen]
        if not own:
            assert stats is not None
            left_out = left_out - (stats["lp"] - stats["log_q"])
        log_weights, khat = left_out.azstats.psislw(r_eff=1.0, dim=["chain", "draw"])
        return arviz.loo(
            tree,
            pointwise=pointwise,
            var_name=site,
            reff=1.0,
            log_weights=log_weights,
            pareto_k=khat,
        )
    if own:
        # Draws thinned over chains are as good as independent; ArviZ would estimate it.
        return arviz.loo(tree, pointwise=pointwise, var_name=site, reff=1.0)
    assert stats is not None
    return arviz.loo_approximate_posterior(
        tree, stats["lp"], stats["log_q"], pointwise=pointwise, var_name=site
    )


def _drop_missing(tree: xarray.DataTree, site: str) -> xarray.DataTree:
    """The tree without the data whose log likelihood is NaN, the others of that site in a row."""
    import xarray

    missing = tree["log_likelihood"].dataset[site].isnull().all(("chain", "draw"))
    if not missing.any():
        return tree
    present = ~missing.values.ravel()
    row = f"{site}_present"
    kept = tree.copy()
    for group in ("log_likelihood", "weighted_log_likelihood"):
        if group not in tree.children or site not in tree[group].data_vars:
            continue
        log_likelihood = tree[group].dataset[site]
        rows = log_likelihood.values.reshape(*log_likelihood.shape[:2], -1)[..., present]
        dataset = tree[group].to_dataset().drop_vars(site)
        kept[group] = xarray.DataTree(
            dataset.assign({site: (("chain", "draw", row), rows)}).assign_coords(
                chain=log_likelihood["chain"], draw=log_likelihood["draw"]
            )
        )
    return kept
