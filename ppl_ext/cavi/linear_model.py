"""Linear regression as a list of terms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ppl_ext.cavi.arguments import check_finite, check_positive
from ppl_ext.cavi.ascent import Ascent, ascend, move_mean
from ppl_ext.cavi.families import Gamma
from ppl_ext.cavi.joint import NormalGamma
from ppl_ext.cavi.regression import LinearTerm, RelevanceTerm
from ppl_ext.cavi.terms import AbstractTerm, PriorTerm

__all__ = ["regress_linear"]


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
