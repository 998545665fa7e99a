"""Factors as the parameters of a guide and the constants of a model, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import linalg

from ppl_ext.factorization.data.ratings import Ratings
from ppl_ext.factorization.model.gaussian_prior import GaussianPrior
from ppl_ext.factorization.model.posterior import Posterior
from ppl_ext.factorization.model.regression import Design, Regression
from ppl_ext.factorization.model.side_rows import write_rows
from ppl_ext.factorization.result.bound import sum_terms
from ppl_ext.factorization.result.draws_tree import arrange_draws
from ppl_ext.factorization.result.factors import Factors
from ppl_ext.fitting.fit_log import FitLog

if TYPE_CHECKING:
    import xarray


__all__ = ["draw_tree", "guide_parameters", "model_constants", "restore_factors"]


def guide_parameters(posterior: Posterior) -> dict[str, np.ndarray]:
    """Read the posterior as the parameters of a guide.

    Args:
        posterior: The posterior.

    Returns:
        For each side ``{side}_loc[row, dim]``; the lower Cholesky factor of the covariance
        ``{side}_scale_tril[row, dim, dim]``, or ``{side}_scale[row, dim]`` where covariances are
        diagonal; where rows have weights, ``{side}_shape[row]`` and ``{side}_rate[row]``; and,
        where they have features, ``{side}_regression_loc[dim, feature]`` and
        ``{side}_regression_scale_tril[feature, feature]`` of the coefficients in units of the
        prior: ``B' = L z``, L the ``{side}_prior_scale_tril`` of the model, so that a prior which
        learns takes the coefficients with it, as it does in closed form.
    """
    found: dict[str, np.ndarray] = {}
    for name, side in posterior.sides:
        found[f"{name}_loc"] = side.means()
        covariances = side.covariances()
        variances = np.einsum("rii->ri", covariances)
        # What is stored is the second moment: its rounding can leave a variance of nearly zero
        # on the wrong side of it.
        largest = (variances + found[f"{name}_loc"] ** 2).max(axis=1, keepdims=True)
        least = np.finfo(side.table.dtype).eps * largest
        if posterior.diagonal:
            found[f"{name}_scale"] = np.sqrt(np.maximum(variances, least))
        else:
            found[f"{name}_scale_tril"] = _factorize(covariances, least)
        if side.concentration:
            found[f"{name}_shape"], found[f"{name}_rate"] = side.shape, side.rate
        if side.regression is not None:
            coefficients, covariance = side.regression.coefficients, side.regression.covariance
            found[f"{name}_regression_loc"] = linalg.solve_triangular(
                _spread(side.prior), coefficients.T, lower=True
            )
            found[f"{name}_regression_scale_tril"] = np.linalg.cholesky(covariance)
    return found


def model_constants(posterior: Posterior) -> dict[str, np.ndarray]:
    """Read the prior and the noise as the constants of a model.

    Args:
        posterior: The posterior.

    Returns:
        ``noise_precision``; for each side ``{side}_prior_loc[dim]``,
        ``{side}_prior_scale_tril[dim, dim]``, where rows have weights ``{side}_concentration``,
        and, where they have features, ``{side}_relevance[feature]``.
    """
    found = {"noise_precision": np.asarray(posterior.noise_precision, dtype=np.float64)}
    for name, side in posterior.sides:
        found[f"{name}_prior_loc"] = np.asarray(side.prior.mean)
        found[f"{name}_prior_scale_tril"] = _spread(side.prior)
        if side.concentration:
            found[f"{name}_concentration"] = np.asarray(side.concentration, dtype=np.float64)
        if side.regression is not None:
            found[f"{name}_relevance"] = side.regression.relevance
    return found


def restore_factors(
    posterior: Posterior,
    parameters: Mapping[str, np.ndarray],
    ratings: Ratings | None,
    designs: Mapping[str, Design],
) -> Factors:
    """Turn the parameters of a guide, and the learned constants of a model, into factors.

    Args:
        posterior: Where the guide began: labels, settings and what is not learned.
        parameters: What `guide_parameters` gives, and any of `model_constants`.
        ratings: Ratings to measure the ELBO on; NaN if None.
        designs: Standardised features of the sides that have some.

    Returns:
        The factors; their ELBO is a single value.
    """
    sides = {}
    for name, side in posterior.sides:
        scale = parameters[f"{name}_scale" if posterior.diagonal else f"{name}_scale_tril"]
        lower = np.asarray(scale, dtype=np.float64)
        if posterior.diagonal:
            lower = lower[..., None] * np.eye(lower.shape[-1])
        own = replace(
            side,
            table=np.zeros_like(side.table),
            summary=np.zeros_like(side.summary),
            prior=_restore_prior(name, side.prior, parameters),
            concentration=float(parameters.get(f"{name}_concentration", side.concentration)),
        )
        if side.regression is not None:
            regression = _restore_regression(name, own.prior, side.regression, parameters)
            offsets = regression.offsets(designs[name]).astype(side.summary.dtype)
            own = replace(own, regression=regression, offsets=offsets)
        means = np.asarray(parameters[f"{name}_loc"], dtype=np.float64)
        write_rows(own, np.arange(len(own)), means, lower @ np.swapaxes(lower, -1, -2))
        if own.concentration:
            shape, rate = (
                np.asarray(parameters[f"{name}_{each}"], dtype=np.float64)
                for each in ("shape", "rate")
            )
            weights = (shape / rate).astype(own.table.dtype)
            own.table[...] *= weights[None, :, None]
            own.summary[...] *= weights[:, None]
            own = replace(own, shape=shape, rate=rate)
        sides[f"{name}s"] = own
    restored = replace(
        posterior,
        users=sides["users"],
        items=sides["items"],
        noise_precision=float(parameters.get("noise_precision", posterior.noise_precision)),
    )
    elbo = np.array([np.nan])
    if ratings is not None:
        elbo = np.array([sum_terms(restored, ratings, designs).total])
    log = FitLog(-elbo, "made from the parameters of a guide", False, 0.0)
    return Factors(restored, elbo, log)


def draw_tree(
    factors: Factors, draws: Mapping[str, np.ndarray], regressions: Mapping[str, np.ndarray]
) -> xarray.DataTree:
    """Arrange draws of the latent vectors as ``Factors.to_datatree`` arranges its own.

    Args:
        factors: The factors, for labels, settings and the ELBO.
        draws: ``{side: [draw, row, dim]}``.
        regressions: ``{side: [draw, dim, feature]}``, coefficients in units of the prior, of the
            sides that have some.

    Returns:
        The tree.
    """
    coefficients = {
        name: np.swapaxes(_spread(side.prior) @ regressions[name], -1, -2)
        for name, side in factors.posterior.sides
        if side.regression is not None
    }
    return arrange_draws(factors.posterior, float(factors.elbo[-1]), draws, coefficients)


def _restore_prior(
    name: str, prior: GaussianPrior, parameters: Mapping[str, np.ndarray]
) -> GaussianPrior:
    mean, precision = prior.mean, prior.precision
    if f"{name}_prior_loc" in parameters:
        mean = np.asarray(parameters[f"{name}_prior_loc"], dtype=np.float64)
    if f"{name}_prior_scale_tril" in parameters:
        lower = np.asarray(parameters[f"{name}_prior_scale_tril"], dtype=np.float64)
        precision = np.linalg.inv(lower @ lower.T)
    return GaussianPrior(mean, precision)


def _restore_regression(
    name: str, prior: GaussianPrior, regression: Regression, parameters: Mapping[str, np.ndarray]
) -> Regression:
    loc = np.asarray(parameters[f"{name}_regression_loc"], dtype=np.float64)
    lower = np.asarray(parameters[f"{name}_regression_scale_tril"], dtype=np.float64)
    relevance = parameters.get(f"{name}_relevance", regression.relevance)
    return replace(
        regression,
        coefficients=(_spread(prior) @ loc).T,
        relevance=np.asarray(relevance, dtype=np.float64),
        covariance=lower @ lower.T,
    )


def _spread(prior: GaussianPrior) -> np.ndarray:
    """Lower Cholesky factor of the prior's covariance."""
    return np.asarray(np.linalg.cholesky(np.linalg.inv(prior.precision)))


def _factorize(covariances: np.ndarray, least: np.ndarray) -> np.ndarray:
    """Lower Cholesky factors ``[row, dim, dim]``, no eigenvalue below the least of its row."""
    values, vectors = np.linalg.eigh(covariances)
    values = np.maximum(values, least)
    roots = vectors * np.sqrt(values)[:, None, :]
    lower = np.swapaxes(np.linalg.qr(np.swapaxes(roots, -1, -2), mode="r"), -1, -2)
    signs = np.sign(np.einsum("rii->ri", lower))
    return np.asarray(lower * signs[:, None, :])
