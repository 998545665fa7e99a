"""Four models of textbooks, each a list of terms."""

from __future__ import annotations

import numpy as np

from ppl_ext.cavi.ascent import Ascent, ascend
from ppl_ext.cavi.discrete import CategoryTerm, MixtureTerm
from ppl_ext.cavi.families import Categorical, Dirichlet, Gamma, MultivariateNormal, Normal
from ppl_ext.cavi.gaussian import NormalTerm, ProductTerm
from ppl_ext.cavi.joint import NormalGamma, NormalWishart
from ppl_ext.cavi.regression import LinearTerm, RelevanceTerm
from ppl_ext.cavi.terms import AbstractTerm, PriorTerm

__all__ = ["factorize_table", "fit_mixture", "fit_normal", "regress_linear"]


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

    Example:
        >>> ascent = fit_normal(np.array([4.1, 5.0, 5.9]))
        >>> round(float(ascent.factors["mean"].mean), 3)
        5.0
    """
    mean_prior = mean_prior or Normal(np.array(0.0), np.array(1e-6))
    precision_prior = precision_prior or Gamma(np.array(1.0), np.array(1.0))
    terms = [
        PriorTerm("mean", mean_prior),
        PriorTerm("precision", precision_prior),
        NormalTerm(np.asarray(data, dtype=np.float64), "mean", "precision"),
    ]
    return ascend(terms, {"mean": mean_prior, "precision": precision_prior})


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
    alpha, coefficients that the data do not need shrink away.

    Args:
        design: ``[row, dim]``, X.
        data: ``[row]``, y.
        prior_precision: Alpha, where it is known.
        shape: Shape of tau's prior.
        rate: Rate of tau's prior.
        relevance: Prior of each alpha; known if None.

    Returns:
        Factors ``coefficients`` and, with a prior of alpha, ``relevance``.

    Example:
        >>> x = np.array([0.0, 1.0, 2.0, 3.0])
        >>> ascent = regress_linear(np.stack([np.ones(4), x], 1), 1 + 2 * x, prior_precision=1e-6)
        >>> ascent.factors["coefficients"].mean.round(4).tolist()
        [1.0, 2.0]
    """
    dim = design.shape[1]
    prior = NormalGamma(
        np.zeros(dim), prior_precision * np.eye(dim), np.asarray(shape), np.asarray(rate)
    )
    likelihood = LinearTerm(np.asarray(data, dtype=np.float64), design, "coefficients")
    if relevance is None:
        return ascend([PriorTerm("coefficients", prior), likelihood], {"coefficients": prior})
    terms: list[AbstractTerm] = [
        RelevanceTerm("coefficients", "relevance", shape, rate),
        PriorTerm("relevance", relevance),
        likelihood,
    ]
    start = Gamma(*(np.broadcast_to(each, (dim,)) for each in (relevance.shape, relevance.rate)))
    return ascend(terms, {"coefficients": prior, "relevance": start})


def fit_mixture(
    data: np.ndarray,
    num_classes: int,
    *,
    concentration: float = 1.0,
    component_prior: NormalWishart | None = None,
    restarts: int = 4,
    seed: int = 0,
) -> Ascent:
    r"""Fit a mixture of Gaussians with unknown means, covariances and weights.

    .. math:: \pi \sim Dir(concentration), \quad (\mu_k, \Lambda_k) \sim NW, \quad
              z_n \sim Cat(\pi), \quad x_n \sim N(\mu_{z_n}, \Lambda_{z_n}^{-1})

    Classes that the data do not need empty themselves, the more so for a small concentration. Not
    free of local maxima: every restart begins at other rows of the data, and the best is kept.

    Args:
        data: ``[row, dim]``.
        num_classes: The most classes there may be.
        concentration: Of each class' weight.
        component_prior: Prior of every component; around mean and covariance of the data if None.
        restarts: Number of starts.
        seed: Seed of the starts.

    Returns:
        Factors ``components``, ``weights`` and ``classes``.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = np.concatenate([rng.normal(-4, 1, size=(50, 1)), rng.normal(4, 1, size=(50, 1))])
        >>> ascent = fit_mixture(x, 2)
        >>> sorted(ascent.factors["components"].mean[:, 0].round().tolist())
        [-4.0, 4.0]

    References:
        Bishop (2006), Pattern Recognition and Machine Learning, section 10.2.
    """
    data = np.asarray(data, dtype=np.float64)
    dim = data.shape[1]
    prior = component_prior
    if prior is None:
        inverse = np.linalg.inv(np.atleast_2d(np.cov(data.T)))
        prior = NormalWishart(data.mean(axis=0), np.asarray(1.0), np.asarray(dim), inverse / dim)
    terms = [
        PriorTerm("components", prior),
        PriorTerm("weights", Dirichlet(np.full(num_classes, concentration))),
        CategoryTerm("classes", "weights"),
        MixtureTerm(data, "classes", "components"),
    ]
    found: list[Ascent] = []
    for rng in np.random.default_rng(seed).spawn(restarts):
        chosen = _spread_rows(data, num_classes, rng)
        off = ((data[:, None] - data[chosen]) ** 2 / data.var(axis=0)).sum(axis=-1)
        # Hard assignments to the nearest of the chosen rows, softened to stay finite.
        logits = np.where(off == off.min(axis=1, keepdims=True), 0.0, -20.0)
        one = NormalWishart(*(
            np.broadcast_to(each, (num_classes, *np.shape(each)))
            for each in (prior.mean, prior.count, prior.dof, prior.scale)
        ))  # fmt: skip
        start = {
            "components": one,
            "weights": Dirichlet(np.full(num_classes, concentration)),
            "classes": Categorical(logits),
        }
        found.append(ascend(terms, start))
    return max(found, key=lambda ascent: ascent.elbo[-1])


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

    Example:
        >>> ascent = factorize_table(np.array([0, 0, 1]), np.array([0, 1, 0]),
        ...                          np.array([2.0, 1.0, 2.0]), num_factors=1)
        >>> ascent.factors["rows"].mean.shape
        (2, 1)
    """
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
    values = np.asarray(values, dtype=np.float64)
    noise = np.asarray(1 / noise_variance)
    terms: list[AbstractTerm] = [PriorTerm(name, prior) for name, prior in priors.items()]
    terms.append(ProductTerm("rows", "columns", row_of, column_of, values, noise))
    return ascend(terms, start)


def _spread_rows(data: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Rows far from one another, as k-means++ chooses them."""
    scaled = data / data.std(axis=0)
    chosen = [int(rng.integers(len(data)))]
    for _ in range(count - 1):
        off = ((scaled[:, None] - scaled[chosen]) ** 2).sum(axis=-1).min(axis=1)
        chosen.append(int(rng.choice(len(data), p=off / off.sum())))
    return np.array(chosen)
