"""Tails beyond a guide: importance weights judge it only where it draws."""

from collections.abc import Sequence

import numpy as np
from scipy.special import gammaln, logsumexp

from ppl_ext.density import Density
from ppl_ext.diagnostics.gaussian import Gaussian
from ppl_ext.diagnostics.moments import BatchMoments, Moments, pool_moments, summarize_batch

__all__ = ["compare_tails", "probe_tails"]

_TAIL_FREEDOM, _TAIL_SCALE = 2.0, 1.5  # the wide marginal: one probe in four beyond two sds
_SHELL_FREEDOM = 3.0


def probe_tails(
    density: Density, gaussian: Gaussian, rng: np.random.Generator, num_draws: int = 8192
) -> list[BatchMoments]:
    """Importance-sampled moments from a proposal with wide tails in every direction.

    Half of the draws come from the Gaussian. A quarter has the marginal of one random coordinate
    replaced by a wide Student t, the others following by regression: a heavy tail of one
    parameter. The last quarter is a multivariate Student t: a shell all around. Weights against
    the mixture are at most twice those against the Gaussian, and bounded where the density has
    tails that the Gaussian never visits.

    Args:
        density: The log density.
        gaussian: The guide.
        rng: Source of randomness.
        num_draws: Number of evaluations of the density.

    Returns:
        Moments of the constrained sites in batches.

    References:
        Hesterberg (1995), Weighted average importance sampling and defensive mixture
        distributions, Technometrics 37(2).
        Owen, Zhou (2000), Safe and effective importance sampling, JASA 95(449).
    """
    rows = max(1, min(num_draws // 32, 500_000 // density.dim))
    batches = []
    for _ in range(-(-num_draws // (4 * rows))):
        e = rng.standard_normal((4 * rows, density.dim))
        stretch = np.sqrt(_SHELL_FREEDOM / rng.chisquare(_SHELL_FREEDOM, (rows, 1)))
        e[2 * rows : 3 * rows] *= stretch
        z = gaussian.push(e)
        z[3 * rows :] = _widen(gaussian, z[3 * rows :], rng)
        with np.errstate(all="ignore"):
            values, log_p = density.evaluate(z)
            log_weights = log_p - _log_proposal(gaussian, z)
        log_weights = np.where(np.isfinite(log_weights), log_weights, -np.inf)
        batches.append(summarize_batch(values, log_weights))
    return batches


def _widen(gaussian: Gaussian, z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Move one random coordinate of each draw to a wide marginal, the others by regression."""
    rows, coordinate = np.arange(len(z)), rng.integers(z.shape[1], size=len(z))
    sd = gaussian.sd[coordinate]
    u = (z[rows, coordinate] - gaussian.loc[coordinate]) / sd
    move = _TAIL_SCALE * rng.standard_t(_TAIL_FREEDOM, size=len(z)) - u
    if gaussian.scale.ndim == 1:
        z = z.copy()
        z[rows, coordinate] += move * sd
        return z
    regression = gaussian.scale[coordinate] @ gaussian.scale.T / sd[:, None]
    moved: np.ndarray = z + move[:, None] * regression
    return moved


def _log_proposal(gaussian: Gaussian, z: np.ndarray) -> np.ndarray:
    """Log density of the mixture from which `probe_tails` draws."""
    dim = z.shape[1]
    u = (z - gaussian.loc) / gaussian.sd
    marginal = (
        gammaln(0.5 * (_TAIL_FREEDOM + 1))
        - gammaln(0.5 * _TAIL_FREEDOM)
        - np.log(_TAIL_SCALE * np.sqrt(np.pi * _TAIL_FREEDOM))
        - 0.5 * (_TAIL_FREEDOM + 1) * np.log1p((u / _TAIL_SCALE) ** 2 / _TAIL_FREEDOM)
    )
    tail = logsumexp(marginal + 0.5 * (u**2 + np.log(2 * np.pi)), axis=1) - np.log(dim)
    squares = (gaussian.pull(z) ** 2).sum(1)
    shell = (
        gammaln(0.5 * (_SHELL_FREEDOM + dim))
        - gammaln(0.5 * _SHELL_FREEDOM)
        - 0.5 * dim * np.log(0.5 * _SHELL_FREEDOM)
        - 0.5 * (_SHELL_FREEDOM + dim) * np.log1p(squares / _SHELL_FREEDOM)
        + 0.5 * squares
    )
    parts = np.stack([np.full(len(z), np.log(0.5)), shell + np.log(0.25), tail + np.log(0.25)])
    log_proposal: np.ndarray = gaussian.log_prob(z) + logsumexp(parts, axis=0)
    return log_proposal


def compare_tails(batches: Sequence[BatchMoments], corrected: Moments) -> np.ndarray:
    """How far wide draws shift the moments, whichever of their batches is left out.

    Args:
        batches: What `probe_tails` found.
        corrected: Moments of the guide's weighted draws.

    Returns:
        ``[element]``, the least shift of a mean, in standard deviations, or of a log standard
        deviation.
    """
    shifts = []
    for row in range(len(batches)):
        # One lucky draw with a huge weight moves everything in its own batch, and only there.
        wide = pool_moments([*batches[:row], *batches[row + 1 :]])
        mean_shift, sd_shift = wide.shift_from(corrected)
        # A heavier tail shows as a wider sd; a narrower one is noise of few draws in the bulk.
        shifts.append(np.maximum(mean_shift, np.where(wide.sd > corrected.sd, sd_shift, 0.0)))
    least: np.ndarray = np.min(shifts, axis=0)
    return least
