"""From a fitted Gaussian to draws of the posterior."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ppl_ext.correction.conclusion import conclude
from ppl_ext.correction.modes import add_missed_modes
from ppl_ext.correction.path import Path
from ppl_ext.correction.population import ISLANDS, DeadError, Population, SpentError
from ppl_ext.correction.result import DEAD, MIXED, SPENT, Corrected
from ppl_ext.correction.settings import Correction
from ppl_ext.correction.start import Part, Start
from ppl_ext.correction.verdict import measure_gap
from ppl_ext.density import Density
from ppl_ext.diagnostics.gaussian import Gaussian
from ppl_ext.diagnostics.modes import MissedMode
from ppl_ext.fitting.fit_log import INTERRUPTED
from ppl_ext.fitting.loop import open_bar
from ppl_ext.gaussian_vi.objective import CountedDensity
from ppl_ext.gaussian_vi.solution import GaussianSolution
from ppl_ext.gaussian_vi.starts import explain_point

__all__ = ["correct"]

_BATCH = 256  # draws that the rooms compile together
_PARTICLES = 1024
_GAP = 0.03  # sds by which fresh points may move a mean beyond chance
_MOST_STATES = 64


def correct(
    density: Density,
    gaussian: GaussianSolution | Gaussian | Start,
    settings: Correction | None = None,
    *,
    modes: Sequence[MissedMode] = (),
    seed: int = 0,
    progress_bar: bool = True,
) -> Corrected:
    r"""Carry a fitted Gaussian to the posterior by sequential Monte Carlo.

    .. math:: p_t(z) \propto q(z)^{1 - t}\, p(z, y)^t, \qquad 0 \le t \le 1

    Particles on islands that never meet begin at the Gaussian :math:`q` with heavier tails and at
    the modes that it misses. Each temperature :math:`t` is as far as half of them stay effective;
    there they are resampled and make Hamiltonian moves, in coordinates learned from themselves in
    which funnels and bananas are round, and independent moves. At the posterior fresh points from
    the density of these coordinates renew them and tell the evidence; then they move until
    islands, early and late draws, and fresh points agree.

    Not for models that subsample their data or cannot be batched, nor for thousands of
    dimensions.

    Args:
        density: The log density on unconstrained space.
        gaussian: The fitted Gaussian, full rank or mean field; or a mixture of Gaussians that
            is known to reach all modes, beside which no others are looked for.
        settings: What is wanted and what it may cost.
        modes: Modes that are known to be missed, beside those that it looks for itself.
        seed: Seed of all draws; the same seed gives the same answer.
        progress_bar: Whether to count gradients in a bar where there is a terminal.

    Returns:
        The draws, the evidence and whether to trust them. After Ctrl-C or with the budget spent
        they are what was reached, and not called good.

    Raises:
        ValueError: If there is no density or it is not batched, the Gaussian has another
            dimension, or the model's density is zero at all of its draws.

    Example:
        >>> from ppl_ext.density import Density, Site
        >>> normal = Density(
        ...     dim=1,
        ...     sites=(Site("x", (1,), 0, 1),),
        ...     log_density=lambda z: (-0.5 * (z**2).sum(-1), -z),
        ...     log_p=lambda z: -0.5 * (z**2).sum(-1),
        ...     constrain=lambda z: {"x": z},
        ...     explain=lambda z: "",
        ... )
        >>> narrow = Gaussian(np.zeros(1), np.array([0.5]))
        >>> corrected = correct(normal, narrow, Correction(ess=1000), progress_bar=False)
        >>> corrected.ok, round(float(corrected.draws.values["x"].std()), 1)
        (True, 1.0)

    References:
        Del Moral, Doucet, Jasra (2006), Sequential Monte Carlo samplers, JRSS B 68(3).
        Buchholz, Chopin, Jacob (2021), Adaptive tuning of Hamiltonian Monte Carlo within
        sequential Monte Carlo, Bayesian Analysis 16(3).
        Parno, Marzouk (2018), Transport map accelerated Markov chain Monte Carlo, SIAM/ASA
        Journal on Uncertainty Quantification 6(2).
    """
    settings = settings or Correction()
    start = gaussian if isinstance(gaussian, Start) else Start((_read_gaussian(gaussian),))
    _check(density, start)
    rng = np.random.default_rng(seed)
    with open_bar(None, progress_bar, "correct", unit=" gradients") as bar:
        counted = CountedDensity(density.log_density, bar.update)
        population = _begin(density, counted, start, settings, rng)
        try:
            if len(start.parts) == 1:
                _widen(density, population, modes)
            population.climb()
            population.renew()
            _settle(population, settings)
            reason = MIXED
        except SpentError:
            reason = SPENT
        except DeadError:
            reason = DEAD
        except KeyboardInterrupt:
            reason = INTERRUPTED
        return conclude(density, population, reason)


def _read_gaussian(gaussian: GaussianSolution | Gaussian) -> Part:
    scale = np.asarray(gaussian.scale)
    return Part(np.asarray(gaussian.loc), np.diag(scale) if scale.ndim == 1 else scale)


def _check(density: Density | None, start: Start) -> None:
    if density is None:
        raise ValueError(
            "correct: there is no density; expected that of a model which sees all of its data. "
            "A model that subsamples has none: leave out subsample_size."
        )
    if not density.batched:
        names = ", ".join(f"'{site.name}'" for site in density.sites)
        raise ValueError(
            f"correct: the density of sites {names} is called draw by draw; expected one that "
            "takes a batch. Write the model without Python branches on sampled values, so that "
            "density.batched is True."
        )
    for part in start.parts:
        diagonal = np.diagonal(part.scale_tril)
        if np.shape(part.loc) != (density.dim,) or not (diagonal > 0).all():
            raise ValueError(
                f"correct: the Gaussian has a mean of shape {np.shape(part.loc)} and scales down "
                f"to {diagonal.min():.3g}; expected ({density.dim},) and positive ones. Pass the "
                "solution of the same density: correct(density, fit.solution)."
            )


def _begin(
    density: Density,
    counted: CountedDensity,
    start: Start,
    settings: Correction,
    rng: np.random.Generator,
) -> Population:
    count = max(_PARTICLES, -(-4 * density.dim // _BATCH) * _BATCH)
    path, label = Path(counted, start), _label(start, count, rng)
    particles = path.visit(start.draw(label, rng), label)
    log_weights = path.weigh(particles)
    if not np.isfinite(log_weights).any():
        raise ValueError(
            f"correct: the model's density is zero or not finite at all {count:,} draws of the "
            f"Gaussian. {explain_point(density, start.parts[0].loc)}Expected a Gaussian fitted to "
            "this density: correct(density, fit.solution)."
        )
    return Population(path, counted, settings, rng, particles)


def _label(start: Start, count: int, rng: np.random.Generator) -> np.ndarray:
    """The part of each particle, ``[particle]``, on every island as often as its share says."""
    if len(start.parts) == 1:
        return np.zeros(count, dtype=int)
    return np.concatenate([start.share_out(count // ISLANDS, rng) for _ in range(ISLANDS)])


def _widen(density: Density, population: Population, modes: Sequence[MissedMode]) -> None:
    """Begin at the modes that the Gaussian misses too."""
    rng, counted = population.rng, population.counted
    population.afford(0)
    log_weights = population.path.weigh(population.particles)
    log_evidence = float(np.logaddexp.reduce(log_weights) - np.log(len(log_weights)))
    start = add_missed_modes(
        density,
        counted,
        population.path.start.parts[0],
        log_evidence,
        rng,
        population.settings.max_gradients,
        modes,
    )
    if len(start.parts) > 1:
        label = _label(start, len(population.particles.z), rng)
        path = Path(counted, start)
        particles = path.visit(start.draw(label, rng), label)
        population.path, population.particles = path, particles


def _settle(population: Population, settings: Correction) -> None:
    """Move at the posterior until the draws are many and tell the same everywhere.

    An attempt that fails is forgotten, and the next takes twice as long.
    """
    moves = max(4, int(np.ceil(1.5 * settings.ess / len(population.particles.z))))
    while True:
        population.attempt(moves)
        while True:
            mixing = population.measure()
            least = float(mixing.ess.min())
            mixed = mixing.rhat.max() <= settings.max_rhat
            if not mixed or len(population.states) >= _MOST_STATES or least >= settings.ess:
                break
            more = 1.1 * (settings.ess / least - 1) * len(population.states)
            population.extend(int(np.clip(np.ceil(more), 2, 2 * moves)))
        if mixed and least >= settings.ess:
            if measure_gap(population.states, population.look_further(), mixing) < _GAP:
                return
            population.renew()
        moves = 2 * max(moves, len(population.states))
