"""A mixture of Gaussians as a list of terms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ppl_ext.cavi.arguments import check_count, check_finite, check_positive
from ppl_ext.cavi.ascent import Ascent, ascend, move_mean
from ppl_ext.cavi.classes import Categorical, Dirichlet
from ppl_ext.cavi.discrete import CategoryTerm, MixtureTerm
from ppl_ext.cavi.joint import NormalWishart
from ppl_ext.cavi.terms import PriorTerm

__all__ = ["fit_mixture"]


def fit_mixture(
    data: np.ndarray,
    num_classes: int,
    *,
    concentration: float = 1.0,
    component_prior: NormalWishart | None = None,
    num_starts: int = 4,
    seed: int = 0,
) -> Ascent:
    r"""Fit a mixture of Gaussians with unknown means, covariances and weights.

    .. math:: \pi \sim Dir(concentration), \quad (\mu_k, \Lambda_k) \sim NW, \quad
              z_n \sim Cat(\pi), \quad x_n \sim N(\mu_{z_n}, \Lambda_{z_n}^{-1})

    Classes that the data do not need empty themselves, the more so for a small concentration. Not
    free of local maxima: every start begins at other rows of the data, and the best is kept.

    Args:
        data: ``[row, dim]``.
        num_classes: The most classes there may be.
        concentration: Of each class' weight.
        component_prior: Prior of every component; around mean and covariance of the data if None.
        num_starts: Number of starts.
        seed: Seed of the starts.

    Returns:
        Factors ``components``, ``weights`` and ``classes``.

    Raises:
        ValueError: The data are not a table of finite numbers, a column is constant or, without a
            prior of the components, follows from others, or a parameter is not positive.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = np.concatenate([rng.normal(-4, 1, size=(50, 1)), rng.normal(4, 1, size=(50, 1))])
        >>> ascent = fit_mixture(x, 2)
        >>> sorted(ascent.factors["components"].mean[:, 0].round().tolist())
        [-4.0, 4.0]

    References:
        Bishop (2006), Pattern Recognition and Machine Learning, section 10.2.
    """
    data = check_finite("fit_mixture", "data", data, axes=2)
    check_count("fit_mixture", num_classes=num_classes, num_starts=num_starts)
    check_positive("fit_mixture", concentration=concentration)
    dim = data.shape[1]
    if len(data) < 2 or not (data.std(axis=0) > 0).all():
        raise ValueError(
            f"fit_mixture: data has {len(data)} rows and columns of standard deviation "
            f"{data.std(axis=0).tolist()}; expected at least 2 rows and columns that vary. Drop "
            "constant columns: data[:, data.std(axis=0) > 0]."
        )
    # Squares of data far from zero would round away their spread.
    origin = data.mean(axis=0)
    data = data - origin
    if component_prior is None:
        if np.linalg.matrix_rank(data / data.std(axis=0), tol=1e-6 * np.sqrt(len(data))) < dim:
            raise ValueError(
                f"fit_mixture: the {dim} columns of data follow from fewer, so that their "
                "covariance has no inverse; expected none that is a sum of others. Drop columns, "
                "or pass component_prior=NormalWishart(...)."
            )
        inverse = np.linalg.inv(np.atleast_2d(np.cov(data.T)))
        prior = NormalWishart(np.zeros(dim), np.asarray(1.0), np.asarray(dim), inverse / dim)
    else:
        prior = replace(component_prior, mean=component_prior.mean - origin)
    terms = [
        PriorTerm("components", prior),
        PriorTerm("weights", Dirichlet(np.full(num_classes, concentration))),
        CategoryTerm("classes", "weights"),
        MixtureTerm(data, "classes", "components"),
    ]
    found: list[Ascent] = []
    for rng in np.random.default_rng(seed).spawn(num_starts):
        chosen = _spread_rows(data, num_classes, rng)
        off = ((data[:, None] - data[chosen]) ** 2 / data.var(axis=0)).sum(axis=-1)
        # Hard assignments to the nearest of the chosen rows, softened to stay finite.
        logits = np.where(off == off.min(axis=1, keepdims=True), 0.0, -20.0)
        one = NormalWishart(
            *(
                np.broadcast_to(each, (num_classes, *np.shape(each)))
                for each in (prior.mean, prior.count, prior.dof, prior.scale)
            )
        )
        start = {
            "components": one,
            "weights": Dirichlet(np.full(num_classes, concentration)),
            "classes": Categorical(logits),
        }
        found.append(ascend(terms, start))
    return move_mean(max(found, key=lambda ascent: ascent.elbo[-1]), "components", origin)


def _spread_rows(data: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Rows far from one another, as k-means++ chooses them."""
    scaled = data / data.std(axis=0)
    chosen = [int(rng.integers(len(data)))]
    for _ in range(count - 1):
        off = ((scaled[:, None] - scaled[chosen]) ** 2).sum(axis=-1).min(axis=1)
        # Where there are fewer distinct rows than classes, any row will do.
        far = off / off.sum() if off.sum() > 0 else None
        chosen.append(int(rng.choice(len(data), p=far)))
    return np.array(chosen)
