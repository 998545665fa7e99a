"""From a population, wherever it ended, to draws with a verdict."""

from __future__ import annotations

import numpy as np

from ppl_ext.correction.population import ISLANDS, Population
from ppl_ext.correction.result import Corrected, CorrectionLog
from ppl_ext.correction.temperatures import pool_evidence
from ppl_ext.correction.verdict import Elements, choose_evidence, judge_elements
from ppl_ext.density import Density
from ppl_ext.draws.draws import Draws
from ppl_ext.fitting.fit_log import INTERRUPTED

__all__ = ["DEAD", "MIXED", "SPENT", "conclude"]

MIXED = "islands, halves and fresh points tell the same"
SPENT = "the budget is spent"
DEAD = "the particles died out"
_ROUNDING = 0.1  # nats of rounding in a log density worth a word


def conclude(density: Density, population: Population, reason: str) -> Corrected:
    """Collect what a population has reached.

    Args:
        density: The log density.
        population: The population.
        reason: Why it ended.

    Returns:
        Its draws, by island, particle and time, and whether they can be trusted.
    """
    states = population.states or [population.particles]
    z, log_p = _arrange([s.z for s in states]), _arrange([s.log_p for s in states])
    arrived = population.temperature == 1
    with np.errstate(all="ignore"):
        values = dict(density.constrain(z))
    draws = Draws(
        values,
        log_p=log_p,
        log_q=log_p if arrived else _tempered(population, z, log_p),
        dims={site.name: site.dims for site in density.sites if site.dims},
        chains=ISLANDS,
        resampled=arrived,
    )
    elements = judge_elements(values, len(states), ISLANDS)
    along_path = pool_evidence(population.log_evidences)
    evidence, error = choose_evidence(population.renewal, along_path)
    log = CorrectionLog(
        stages=tuple(population.stages),
        num_islands=ISLANDS,
        num_particles=len(population.particles.z),
        num_modes=len(population.path.start.parts),
        path_evidence=along_path,
        gradients=population.counted.gradients,
        seconds=population.seconds,
        reason=reason,
        notes=tuple(_note(density, population, elements, log_p)),
    )
    mixed = elements.rhat <= population.settings.max_rhat and reason == MIXED
    return Corrected(
        draws,
        evidence,
        error,
        elements.rhat,
        elements.ess,
        log,
        ok=mixed and not elements.heavy,
        advice=_advise(population, elements, reason, mixed=mixed),
        z=z,
    )


def _arrange(columns: list[np.ndarray]) -> np.ndarray:
    """States ``[particle, ...]`` as draws, those of one particle side by side."""
    return np.stack(columns, axis=1).reshape(-1, *columns[0].shape[1:])


def _tempered(population: Population, z: np.ndarray, log_p: np.ndarray) -> np.ndarray:
    """Log density on the way, so that ``log_p - log_q`` are the weights to the posterior."""
    start = population.path.start.log_density(z)[0]
    gain = np.where(np.isfinite(log_p), log_p - start, 0.0)
    tempered: np.ndarray = start + population.temperature * gain
    return tempered


def _note(
    density: Density, population: Population, elements: Elements, log_p: np.ndarray
) -> list[str]:
    notes = []
    temperature = population.temperature
    if temperature < 1:
        notes.append(
            f"the draws are of q^{1 - temperature:.3g} p^{temperature:.3g}, not of the posterior."
        )
    if elements.heavy:
        names = ", ".join(f"'{name}'" for name in elements.heavy[:3])
        notes.append(
            f"a hundredth of the draws carries most of the variance of {names}: tails so heavy "
            "that a standard deviation says little."
        )
    largest = float(np.abs(log_p[np.isfinite(log_p)]).max(initial=0.0))
    if np.finfo(density.dtype).eps * largest > _ROUNDING:
        notes.append(
            f"log densities of {largest:.2g} are rounded in {density.dtype}: run the model in "
            "float64."
        )
    return notes


def _advise(population: Population, elements: Elements, reason: str, *, mixed: bool) -> str:
    if mixed and not elements.heavy:
        return "use the draws."
    if mixed:
        return "use the draws for quantiles; give heavy-tailed sites a lighter prior."
    if reason == INTERRUPTED:
        return "it was interrupted: run it to its end."
    if reason == DEAD:
        return (
            "the Gaussian and the posterior have too little in common, or the density jumps: fit "
            "from another seed, or look for a hard bound inside the model."
        )
    if reason == SPENT:
        more = 4 * max(population.settings.max_gradients, population.counted.gradients)
        return (
            f"the worst is '{elements.worst}': give it more, such as "
            f"Correction(max_gradients={more:_}), or reparameterise the model."
        )
    more = 2 * population.settings.ess
    return f"'{elements.worst}' has not mixed: ask for more, Correction(ess={more})."
