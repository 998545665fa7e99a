"""Models of textbooks, each a list of terms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ppl_ext.cavi.arguments import check_count, check_finite, check_positions, check_positive
from ppl_ext.cavi.ascent import Ascent, ascend, move_mean
from ppl_ext.cavi.families import Gamma, MultivariateNormal, Normal
from ppl_ext.cavi.gaussian import NormalTerm, ProductTerm
from ppl_ext.cavi.joint import NormalGamma
from ppl_ext.cavi.regression import LinearTerm, RelevanceTerm
from ppl_ext.cavi.terms import AbstractTerm, PriorTerm

__all__ = ["factorize_table", "fit_normal", "regress_linear"]


def fit_normal(
    data: np.ndarray,
    mean_prior: Normal | None = None,
    precision_prior: Gamma | None = None,
) -> Ascent:
    r"""Fit mean and precision of a normal sample, each a factor of its own.

    .. math:: \mu \sim N, \quad \tau \sim \Gamma, \quad y_n \sim N(\mu, 1 / \tau)

    Not the exact posterior, in which the two are dependent.

    Args:
        data: ``[row]``.
        mean_prior: Prior of the mean; wide around 0 if None.
        precision_prior: Prior of the precision; Gamma(1, 1) if None.

    Returns:
        Factors ``mean`` and ``precision``.

    Raises:
        ValueError: A number is not finite.

    Example:
        >>> ascent = fit_normal(np.array([4.1, 5.0, 5.9]))
        >>> round(float(ascent.factors["mean"].mean), 3)
        5.0
    """
    mean_prior = mean_prior or Normal(np.array(0.0), np.array(1e-6))
    precision_prior = precision_prior or Gamma(np.array(1.0), np.array(1.0))
    data = check_finite("fit_normal", "data", data, axes=1)
    # Squares of data far from zero would round away their spread.
    origin = data.mean() if len(data) else 0.0
    moved = Normal(mean_prior.mean - origin, mean_prior.precision)
    terms = [
        PriorTerm("mean", moved),
        PriorTerm("precision", precision_prior),
        NormalTerm(data - origin, "mean", "precision"),
    ]
    found = ascend(terms, {"mean": moved, "precision": precision_prior})
    return move_mean(found, "mean", origin)


def regress_linear(
    design: np.ndarray,
    data: np.ndarray,
    *,
    prior_precision: float = 1.0,
    shape: float = 1.0,
    rate: float = 1.0,
    relevance: Gamma | None = None,
) -> Ascent:
    r"""Fit coefficients and noise of a linear regression.

    .. math:: \tau \sim \Gamma(shape, rate), \quad w_j \sim N(0, 1 / (\tau \alpha_j)), \quad
              y \sim N(X w, 1 / \tau)

    With alpha known this is the exact posterior and the bound is the log evidence; with a prior of
    alpha, coefficients that the data do not need shrink away. Not then for data far from zero for
    their spread: subtract their mean first.

    Args:
        design: ``[row, dim]``, X.
        data: ``[row]``, y.
        prior_precision: Alpha, where it is known.
        shape: Shape of tau's prior.
        rate: Rate of tau's prior.
        relevance: Prior of each alpha; known if None.

    Returns:
        Factors ``coefficients`` and, with a prior of alpha, ``relevance``.

    Raises:
        ValueError: A number is not finite, design and data differ in length, or a parameter is
            not positive.

    Example:
        >>> x = np.array([0.0, 1.0, 2.0, 3.0])
        >>> ascent = regress_linear(np.stack([np.ones(4), x], 1), 1 + 2 * x, prior_precision=1e-6)
        >>> ascent.factors["coefficients"].mean.round(4).tolist()
        [1.0, 2.0]
    """
    design = check_finite("regress_linear", "design", design, axes=2)
    data = check_finite("regress_linear", "data", data, axes=1)
    if len(design) != len(data):
        raise ValueError(
            f"regress_linear: design has {len(design)} rows and data {len(data)}; expected as "
            "many of each. The order is regress_linear(design, data)."
        )
    check_positive("regress_linear", prior_precision=prior_precision, shape=shape, rate=rate)
    dim = design.shape[1]
    prior = NormalGamma(
        np.zeros(dim), prior_precision * np.eye(dim), np.asarray(shape), np.asarray(rate)
    )
    if relevance is None:
        # From the coefficients of least squares on: squares of large data would round away noise.
        origin = np.linalg.lstsq(design, data)[0]
        moved = replace(prior, mean=-origin)
        likelihood = LinearTerm(data - design @ origin, design, "coefficients")
        found = ascend([PriorTerm("coefficients", moved), likelihood], {"coefficients": moved})
        return move_mean(found, "coefficients", origin)
    likelihood = LinearTerm(data, design, "coefficients")
    terms: list[AbstractTerm] = [
        RelevanceTerm("coefficients", "relevance", shape, rate),
        PriorTerm("relevance", relevance),
        likelihood,
    ]
    start = Gamma(*(np.broadcast_to(each, (dim,)) for each in (relevance.shape, relevance.rate)))
    return ascend(terms, {"coefficients": prior, "relevance": start})


def factorize_table(
    row_of: np.ndarray,
    column_of: np.ndarray,
    values: np.ndarray,
    num_factors: int,
    *,
    row_variance: float = 0.5,
    column_variance: float = 0.5,
    noise_variance: float = 0.5,
    seed: int = 0,
) -> Ascent:
    r"""Factorize a table with fixed variances.

    .. math:: u_i \sim N(0, s_u^2 I), \quad v_j \sim N(0, s_v^2 I), \quad
              r_{ij} \sim N(u_i \cdot v_j, s^2)

    Not for tables of any size: ``ppl_ext.factorization.MatrixFactorization`` makes the same
    updates hundreds of times faster, and learns the variances.

    Args:
        row_of: ``[entry]``, positions of rows.
        column_of: ``[entry]``, positions of columns.
        values: ``[entry]``.
        num_factors: Length of u and v.
        row_variance: Of u.
        column_variance: Of v.
        noise_variance: Of the entries.
        seed: Seed of the start.

    Returns:
        Factors ``rows`` and ``columns``.

    Raises:
        ValueError: A number is not finite, the three columns differ in length, a position is
            negative, or a parameter is not positive.

    Example:
        >>> ascent = factorize_table(np.array([0, 0, 1]), np.array([0, 1, 0]),
        ...                          np.array([2.0, 1.0, 2.0]), num_factors=1)
        >>> ascent.factors["rows"].mean.shape
        (2, 1)
    """
    values = check_finite("factorize_table", "values", values, axes=1)
    row_of = check_positions("factorize_table", "row_of", row_of)
    column_of = check_positions("factorize_table", "column_of", column_of)
    check_count("factorize_table", num_factors=num_factors)
    check_positive(
        "factorize_table", row_variance=row_variance, column_variance=column_variance,
        noise_variance=noise_variance,
    )  # fmt: skip
    if not 0 < len(row_of) == len(column_of) == len(values):
        raise ValueError(
            f"factorize_table: {len(row_of)} rows, {len(column_of)} columns and {len(values)} "
            "values; expected one of each for every entry. The order is "
            "factorize_table(row_of, column_of, values, num_factors)."
        )
    eye = np.eye(num_factors)
    priors = {
        "rows": MultivariateNormal(np.zeros(num_factors), eye / row_variance),
        "columns": MultivariateNormal(np.zeros(num_factors), eye / column_variance),
    }
    rng = np.random.default_rng(seed)
    start = {
        name: MultivariateNormal(
            rng.normal(0, 0.1, size=(of.max() + 1, num_factors)),
            np.broadcast_to(eye, (of.max() + 1, num_factors, num_factors)),
        )
        for name, of in (("rows", row_of), ("columns", column_of))
    }
    noise = np.asarray(1 / noise_variance)
    terms: list[AbstractTerm] = [PriorTerm(name, prior) for name, prior in priors.items()]
    terms.append(ProductTerm("rows", "columns", row_of, column_of, values, noise))
    return ascend(terms, start)
