"""How far to centre location-scale sites so that a Gaussian fits them best.

Where the data about an entry of a site are strong, a Gaussian fits it as it is written; where the
prior is, non-centred. Most entries are in between, and each has data of its own.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from ppl_ext.density import Density
from ppl_ext.fitting.fit_log import INTERRUPTED
from ppl_ext.fitting.settings import Deterministic
from ppl_ext.gaussian_vi.full_rank import ascend_full_rank
from ppl_ext.gaussian_vi.location_scale import LocationScale, PartialCentering
from ppl_ext.gaussian_vi.mean_field import ascend_mean_field
from ppl_ext.gaussian_vi.objective import CountedDensity
from ppl_ext.gaussian_vi.refinement import refine
from ppl_ext.gaussian_vi.solution import GaussianSolution
from ppl_ext.gaussian_vi.standard_draws import draw_standard_normal, round_up
from ppl_ext.gaussian_vi.starts import triangular_root

__all__ = ["Form", "choose_centering"]

# A prior far out may overflow; its draw is left out, or the coordinates lose.
_overflow_is_no_news = np.errstate(all="ignore")

_LOOKS = 3  # each from the fit of the one before
_STEP = 0.1  # of a standard deviation: above rounding, and local
_LEAST_PAIRS = 128
_JUDGING_PAIRS = 512  # on which two Gaussians are compared
_LEAST_GAIN = 0.1  # nats; less is not worth other coordinates
_ROUGH = Deterministic(max_draws=2 * _LEAST_PAIRS, kl_tolerance=1e-2)


@dataclass(frozen=True)
class Form:
    """A model in some coordinates.

    Args:
        density: Its log density.
        look: ``z[draw, dim] -> {site: prior}`` of its location-scale sites.
    """

    density: Density
    look: Callable[[np.ndarray], Mapping[str, LocationScale]]


@_overflow_is_no_news
def choose_centering(
    written: Form,
    solution: GaussianSolution,
    recentre: Callable[[Mapping[str, PartialCentering]], Form],
    *,
    seed: int = 0,
) -> dict[str, PartialCentering]:
    r"""Choose coordinates in which a Gaussian has a larger evidence lower bound.

    .. math:: \lambda = \frac{I}{I + 1 / s^2}

    for every entry of every site whose prior depends on other sites, with its typical scale
    :math:`s` and the information :math:`I` that all the rest of the model, data above all, has
    about it: the curvature of the log density without that of a normal prior. The conditional
    spread of the coordinate then does not change with the scale. A Gaussian is fitted roughly in
    the new coordinates, and they are taken if its bound is larger by a tenth of a nat. A better
    Gaussian knows scale and information better, so that it is asked again.

    Args:
        written: The model as it is written.
        solution: A Gaussian fitted to it, mean field or full rank.
        recentre: The model in other coordinates.
        seed: Seed of draws.

    Returns:
        The coordinates by site, entries in a row; empty where none are better than those of the
        model.

    Raises:
        KeyboardInterrupt: It was interrupted; the model as it is written is there to go on with.

    References:
        Papaspiliopoulos, Roberts, Sköld (2007), A general framework for the parametrization of
        hierarchical models, Statistical Science 22(1).
        Gorinova, Moore, Hoffman (2020), Automatic reparameterisation of probabilistic programs,
        ICML.
    """
    rng = np.random.default_rng(seed)
    chosen: dict[str, PartialCentering] = {}
    form = written
    for _ in range(_LOOKS):
        points, priors = _look(form, solution, rng)
        if not priors or len(points) < _LEAST_PAIRS:
            break
        for name, centering in chosen.items():
            own = slice(priors[name].start, priors[name].stop)
            points[:, own] = priors[name].decode(points[:, own], centering)
        found = _find_centering(written.density, points, priors, rng)
        for name, prior in priors.items():
            own = slice(prior.start, prior.stop)
            points[:, own] = prior.encode(points[:, own], found[name])
        rival = recentre(found)
        fitted = _fit_roughly(rival.density, points, solution.scale.ndim == 2, rng)
        if not _is_better(rival.density, fitted, form.density, solution, rng):
            break
        chosen, form, solution = found, rival, fitted
    return chosen


def _look(
    form: Form, solution: GaussianSolution, rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, LocationScale]]:
    """Draws of a Gaussian, and there the priors that depend on other sites."""
    points = _push(solution, draw_standard_normal(_count_pairs(solution), form.density.dim, rng))
    priors = {name: prior for name, prior in form.look(points).items() if prior.varies}
    usable = np.isfinite(points).all(axis=1)
    for prior in priors.values():
        usable &= prior.usable
    return points[usable], {name: prior.at(usable) for name, prior in priors.items()}


def _find_centering(
    written: Density,
    points: np.ndarray,
    priors: Mapping[str, LocationScale],
    rng: np.random.Generator,
) -> dict[str, PartialCentering]:
    """The coordinates that a posterior has by its curvature, medians over draws of it."""
    step = np.zeros_like(points)
    width = points.std(axis=0)
    for prior in priors.values():
        own = slice(prior.start, prior.stop)
        step[:, own] = _STEP * np.minimum(width[own], prior.scale)
    # All entries at once in random directions: entries of a site see one another in few models,
    # and there as noise of mean zero.
    step *= rng.choice([-1.0, 1.0], size=step.shape)
    evaluate = CountedDensity(written.log_density)
    turn = evaluate(points - step)[1] - evaluate(points + step)[1]
    found = {}
    for name, prior in priors.items():
        own = slice(prior.start, prior.stop)
        information = turn[:, own] / (2 * step[:, own]) - prior.scale**-2
        unit = np.exp(np.median(np.log(prior.scale), axis=0))
        finite = np.where(np.isfinite(information), information, 0.0)
        strength = np.maximum(np.median(finite, axis=0), 0.0) * unit**2
        found[name] = PartialCentering(strength / (1 + strength), unit)
    return found


def _fit_roughly(
    density: Density, points: np.ndarray, full_rank: bool, rng: np.random.Generator
) -> GaussianSolution:
    """A Gaussian on few draws, from the moments of some points."""
    began = time.perf_counter()
    counted = CountedDensity(density.log_density)
    loc = points.mean(axis=0)
    half = draw_standard_normal(len(points) // 2, density.dim, rng)
    if full_rank:
        scale = triangular_root((points - loc).T / np.sqrt(len(points)))
        ascend = partial(ascend_full_rank, counted, precision=density.dtype)
    else:
        scale, ascend = points.std(axis=0), partial(ascend_mean_field, counted)
    solution = refine(ascend, [(loc, scale)], half, counted, _ROUGH, rng, began)
    if solution.log.reason == INTERRUPTED:
        raise KeyboardInterrupt
    return solution


def _is_better(
    after: Density,
    rival: GaussianSolution,
    before: Density,
    solution: GaussianSolution,
    rng: np.random.Generator,
) -> bool:
    """Whether a Gaussian has a larger bound than another, by draws of which neither knows."""
    half = draw_standard_normal(_JUDGING_PAIRS, after.dim, rng)
    new, old = _log_weights(after, rival, half), _log_weights(before, solution, half)
    error = np.sqrt((np.var(new) + np.var(old)) / len(new))
    return bool(np.mean(new) - np.mean(old) > _LEAST_GAIN + 2 * error)


def _log_weights(density: Density, solution: GaussianSolution, half: np.ndarray) -> np.ndarray:
    """``log p - log q`` at draws of a Gaussian."""
    scale = solution.scale
    log_scale = np.log(scale if scale.ndim == 1 else np.diagonal(scale)).sum()
    log_q = -0.5 * (half**2 + np.log(2 * np.pi)).sum(1) - log_scale
    # Gradients come with it, but of this program the fit has need anyway.
    log_p = CountedDensity(density.log_density)(_push(solution, half))[0]
    weights: np.ndarray = log_p - np.tile(log_q, 2)
    return weights


def _push(solution: GaussianSolution, half: np.ndarray) -> np.ndarray:
    noise = np.concatenate([half, -half])
    scale = solution.scale
    offset: np.ndarray = noise * scale if scale.ndim == 1 else noise @ scale.T
    return solution.loc + offset


def _count_pairs(solution: GaussianSolution) -> int:
    """Pairs of draws: enough for a covariance, where one is fitted."""
    return max(_LEAST_PAIRS, round_up(2 * len(solution.loc)) if solution.scale.ndim == 2 else 1)
