"""How the discrete family refuses arguments: words that both rooms share.

A room looks at its own arrays and hands over what it found: a name, a shape, a number, and the
line of its own host that mends it.
"""

from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np


def refuse(called: str, found: str, expected: str, cure: str) -> ValueError:
    """Build an error of four parts."""
    return ValueError(f"{called}: {found}; expected {expected}. {cure}")


def check_count(called: str, name: str, count: Any, least: int, cure: str) -> None:
    """Refuse what is no whole number, or below the least there can be."""
    if not isinstance(count, Integral) or count < least:
        raise refuse(called, f"{name} is {count!r}", f"a whole number, {least} at least", cure)


def check_function(called: str, f: Callable[..., Any]) -> None:
    """Refuse what cannot be called, such as logits in the place of the function."""
    if not callable(f):
        raise refuse(
            called,
            f"f is of type {type(f).__name__}",
            "a function of one-hot draws",
            "The function comes before the logits: f, logits.",
        )


def check_probs_or_logits(called: str, probs: Any, logits: Any) -> None:
    """Refuse both of them, and neither."""
    if (probs is None) == (logits is None):
        raise refuse(
            called,
            f"found {'neither probs nor' if probs is None else 'both probs and'} logits",
            "exactly one of them",
            f"{called}(..., logits=logits).",
        )


def refuse_type(called: str, name: str, dtype: Any, cast: str) -> ValueError:
    """Refuse an argument that holds no floating-point numbers."""
    return refuse(
        called,
        f"{name} are of type {dtype}",
        "floating-point numbers",
        f"{called}(..., {name}={name}.{cast}).",
    )


def check_extreme(called: str, name: str, extreme: float, finite: str) -> None:
    """Refuse probabilities by their least, and logits by their largest; NaN is either."""
    if not (extreme >= 0 if name == "probs" else extreme < np.inf):
        raise refuse(
            called,
            f"{name} contain {extreme}",
            "numbers >= 0" if name == "probs" else "numbers below +inf; -inf rules a class out",
            f"Look at {name}[~{finite}({name})] and at what made them.",
        )


def check_class_axis(called: str, shape: tuple[int, ...], stack: str) -> None:
    """Refuse logits without an axis of classes."""
    if not shape or shape[-1] == 0:
        raise refuse(
            called,
            f"logits have the shape {tuple(shape)}",
            "classes along the last axis, at least one",
            f"Stack the logits of the classes: {stack}(logits, -1).",
        )


def refuse_impossible_row(called: str, mask: str) -> ValueError:
    """Refuse logits with a row that has no possible class."""
    return refuse(
        called,
        "all logits of a row are -inf (or all its probs are 0)",
        "at least one possible class in each row",
        f"Mask the row itself: {mask}.",
    )


def refuse_temperature(called: str, temperature: Any, cure: str) -> ValueError:
    """Refuse a temperature that is no positive number, or none at all."""
    return refuse(called, f"temperature is {temperature}", "positive numbers", cure)


def refuse_temperature_shape(
    called: str, shape: tuple[int, ...], batch_shape: tuple[int, ...], full: str
) -> ValueError:
    """Refuse temperatures that do not broadcast against the batch."""
    return refuse(
        called,
        f"temperature has the shape {tuple(shape)}, which does not broadcast against "
        f"the batch shape {tuple(batch_shape)}",
        "one temperature, or one for each member of the batch (the classes are no batch)",
        f"temperature=0.5, or temperature={full}(logits.shape[:-1], 0.5).",
    )


def refuse_unequal_temperatures(family: str, draw: str) -> NotImplementedError:
    """Refuse the divergence of two relaxed distributions that is not known."""
    return NotImplementedError(
        f"kl_divergence of two {family}: the temperatures differ; expected equal ones, where the "
        "divergence is known. Estimate it: (p.log_prob(y) - q.log_prob(y)).mean(0) with "
        f"y = {draw}."
    )


def check_size(called: str, k: Any, possible: int) -> None:
    """Refuse the size of a subset that there are not enough possible classes for."""
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= possible:
        raise refuse(
            called,
            f"k is {k!r}",
            f"a whole number from 1 to {possible}, the number of possible classes (logits above "
            "-inf)",
            f"Lower it: k=min(k, {possible}).",
        )


def refuse_index(draw: str, classes: int) -> ValueError:
    """Refuse the class of posterior Gumbels that cannot be the largest."""
    return refuse(
        "posterior_gumbels",
        "index has a class that is ruled out, or that there is not",
        f"classes from 0 to {classes - 1} whose logits are above -inf",
        f"Draw it from the same logits: index = {draw}.",
    )


def refuse_estimator(called: str, estimator: Any, relaxed: bool) -> ValueError:
    """Refuse an estimator whose draws are relaxed, or that passes no gradient through draws."""
    return refuse(
        called,
        f"estimator is {estimator!r}{', whose draws are relaxed' * relaxed}",
        "an estimator whose one-hot draws carry a gradient, such as ReinMax()",
        "For relaxed draws use RelaxedOneHotCategorical(temperature, ...)."
        if relaxed
        else "What needs values of f belongs into estimate_gradient(f, ...) or an ELBO.",
    )


def refuse_ends(called: str, least: float, most: float) -> ValueError:
    """Refuse probabilities of 0 or 1 (or beyond), of which there are no finite log-odds."""
    return refuse(
        called,
        f"probs run from {least} to {most}",
        "numbers strictly between 0 and 1",
        f"{called}(temperature, logits=logits) has no such ends.",
    )


def refuse_infinite_logits(called: str, clip: str) -> ValueError:
    """Refuse log-odds that are infinite."""
    return refuse(
        called,
        "logits are infinite",
        "finite log-odds",
        f"{called}(temperature, logits={clip}).",
    )
