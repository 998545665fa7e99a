"""The engine: one factor after the other, until the bound stops rising."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ppl_ext.cavi.families import AbstractFamily
from ppl_ext.cavi.terms import AbstractTerm
from ppl_ext.fitting.fit_log import FitLog
from ppl_ext.fitting.loop import drive

__all__ = ["Ascent", "ascend"]

# How far rounding may let the bound fall, as a fraction of it.
_ROUNDING = 1e-8


@dataclass(frozen=True, eq=False)
class Ascent:
    """The posterior that coordinate ascent has found, factor by factor.

    Args:
        factors: The factors by name.
        elbo: ``[sweep]``, after every sweep, in nats.
        half_steps: ``[sweep, factor]``, after the update of every factor.
        log: How it went and why it ended.

    Example:
        >>> from ppl_ext.cavi import regress_linear
        >>> ascent = regress_linear(np.ones((3, 1)), np.array([1.0, 2.0, 4.0]))
        >>> bool((np.diff(ascent.half_steps.ravel()) > -1e-8).all())
        True
    """

    factors: Mapping[str, AbstractFamily]
    elbo: np.ndarray
    half_steps: np.ndarray
    log: FitLog


def move_mean(ascent: Ascent, name: str, by: np.ndarray | float) -> Ascent:
    """Move the mean of a factor, after a fit to data that were moved the other way."""
    factor: Any = ascent.factors[name]
    return replace(
        ascent, factors={**ascent.factors, name: replace(factor, mean=factor.mean + by)}
    )


def measure_elbo(terms: Sequence[AbstractTerm], factors: Mapping[str, AbstractFamily]) -> float:
    """The evidence lower bound: expectations of the terms, and entropies of the factors."""
    entropy = sum(factor.entropy() for factor in factors.values())
    return sum(term.expect(factors) for term in terms) + entropy


def ascend(
    terms: Sequence[AbstractTerm],
    factors: Mapping[str, AbstractFamily],
    *,
    tolerance: float = 1e-9,
    max_sweeps: int = 1000,
    progress_bar: bool = False,
) -> Ascent:
    r"""Maximise the evidence lower bound over one factor after the other.

    .. math:: \log q_j^*(x_j) = E_{q_{-j}} \log p(x, y) + c

    Each maximum is exact: the natural parameters of a factor become the sum of what the terms
    send. The bound therefore never falls, which is checked after every update. Not for models
    with a term that is not linear in the statistics of its factors; `ascend` refuses them.

    Args:
        terms: Terms whose sum is the log joint density.
        factors: Where to start, in the order of the updates. Factors that start alike stay alike:
            the components of a mixture have to differ.
        tolerance: Rise of the bound in a sweep, as a fraction of it, at which the ascent ends.
        max_sweeps: The limit.
        progress_bar: Draw a bar where there is a terminal.

    Returns:
        The factors, and the bound after every sweep and every update.

    Raises:
        NotConjugateError: A term and a factor have no closed form together; use ``fit`` of a room.
        ValueError: A term touches a factor that is not there or of another batch, no term touches
            a factor, or the bound is not finite at the start.
        ArithmeticError: The bound fell: a term's slopes are not those of its expectation, or data
            far from zero were rounded.

    Example:
        >>> from ppl_ext.cavi import Gamma, Normal, NormalTerm, PriorTerm
        >>> terms = [
        ...     PriorTerm("mu", Normal(np.array(0.0), np.array(1e-2))),
        ...     PriorTerm("tau", Gamma(np.array(1.0), np.array(1.0))),
        ...     NormalTerm(np.array([4.1, 5.0, 5.9]), "mu", "tau"),
        ... ]
        >>> start = {"mu": Normal(np.array(0.0), np.array(1.0)),
        ...          "tau": Gamma(np.array(1.0), np.array(1.0))}
        >>> found = ascend(terms, start)
        >>> round(float(found.factors["mu"].mean), 2), found.log.converged
        (4.98, True)

    References:
        Bishop (2006), Pattern Recognition and Machine Learning, section 10.1.
        Blei, Kucukelbir, McAuliffe (2017), Variational inference: a review for statisticians,
        JASA 112.
    """
    for term in terms:
        term.check(factors)
    touching = {name: [term for term in terms if name in term.nodes] for name in factors}
    if lonely := [name for name, own in touching.items() if not own]:
        raise ValueError(
            f"ascend: no term touches the factor {lonely[0]!r}; expected at least one, such as "
            f"its prior. Add PriorTerm({lonely[0]!r}, ...) or leave the factor out."
        )
    current = dict(factors)
    bounds = [[measure_elbo(terms, current)]]
    if not np.isfinite(bounds[0][0]):
        raise ValueError(
            f"ascend: the bound is {bounds[0][0]} at the start; expected a finite number. Look "
            "for NaN in data and starts, and for precisions that are not positive: "
            "term.expect(factors) says which term it is."
        )

    def advance(steps: int) -> np.ndarray:
        trail: list[float] = []
        last = bounds[-1][-1]
        for name, own in touching.items():
            messages = [term.send(name, current) for term in own]
            natural = [sum(parts[1:], parts[0]) for parts in zip(*messages, strict=True)]
            before = current[name].natural()
            current[name] = type(current[name]).from_natural(
                *(np.broadcast_to(n, np.shape(b)) for n, b in zip(natural, before, strict=True))
            )
            bound = measure_elbo(terms, current)
            if bound < last - _ROUNDING * max(1.0, abs(last)):
                raise ArithmeticError(
                    f"ascend: the bound fell from {last:.10g} to {bound:.10g} when {name!r} was "
                    "updated; an exact update cannot lower it. Check that send of "
                    f"{sorted({type(term).__name__ for term in own})} is the slope of expect; and "
                    "where data lie far from zero for their spread, subtract their mean first."
                )
            trail.append(bound)
            last = bound
        bounds.append(trail)
        return np.array([-last])

    def rule(losses: np.ndarray) -> str | None:
        if len(losses) < 2 or losses[-2] - losses[-1] > tolerance * max(1.0, abs(losses[-1])):
            return None
        return f"the bound rises by less than {tolerance:g} of itself in a sweep"

    log = drive(
        advance,
        max_steps=max_sweeps,
        rule=rule,
        chunk=1,
        progress_bar=progress_bar,
        describe="CAVI",
    )
    half_steps = np.array(bounds[1 : 1 + len(log.losses)])
    return Ascent(current, -log.losses, half_steps, log)
