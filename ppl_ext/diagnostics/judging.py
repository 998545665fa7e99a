"""Judge a fit: by the weights of its draws, by wide draws, and by paths from elsewhere."""

from collections.abc import Iterable

import numpy as np

from ppl_ext.density import Density
from ppl_ext.diagnostics.advice import advise_on
from ppl_ext.diagnostics.gaussian import Gaussian
from ppl_ext.diagnostics.jumps import find_jumps
from ppl_ext.diagnostics.modes import count_searches, find_missed_modes
from ppl_ext.diagnostics.moments import (
    Moments,
    label_elements,
    pool_moments,
    summarize_batch,
)
from ppl_ext.diagnostics.report import Details, Report
from ppl_ext.diagnostics.tails import compare_tails, probe_tails
from ppl_ext.diagnostics.verdict import MEAN_TOLERANCE, SD_TOLERANCE, Verdict
from ppl_ext.draws.draws import Draws
from ppl_ext.draws.psis import smooth_weights
from ppl_ext.fitting.fit_log import FitLog

__all__ = ["judge", "plan_batches"]

_DRAWS, _MOST_ROWS, _FEWEST_ROWS, _BATCH_FLOATS = 20_480, 2560, 64, 2**24

_KHAT_BATCHES = 4
# Corrected draws: the weights are nearly equal, or enough of them count and their tail is mild.
# Where a second sample with wide tails tells the same moments, the tail may be a little heavier:
# k-hat alone alarms falsely (benchmarks/honesty.py counts both kinds of mistake).
_ESS_EQUAL = 0.8
_ESS_LEAST, _KHAT_MOST = 0.2, 0.7
_ESS_LEAST_CONFIRMED, _KHAT_MOST_CONFIRMED, _CONFIRMED = 0.1, 1.0, 0.06


def plan_batches(width: int) -> tuple[int, int]:
    """How many draws to judge a fit by, in batches that fit in memory.

    Args:
        width: Number of elements of all sites of one draw.

    Returns:
        The number of batches, eight or more, and the draws in each.

    Example:
        >>> plan_batches(width=10)
        (8, 2560)
        >>> plan_batches(width=200_000)
        (247, 83)
    """
    rows = max(_FEWEST_ROWS, min(_MOST_ROWS, _BATCH_FLOATS // max(width, 1)))
    return -(-_DRAWS // rows), rows


def judge(
    batches: Iterable[Draws],
    log: FitLog,
    *,
    density: Density | None = None,
    gaussian: Gaussian | None = None,
    seed: int = 0,
) -> Report:
    """Judge a fit by draws of its guide and by looking where the guide does not draw.

    Three questions, each with a way to fail: do the importance weights of the guide's draws have
    a mild tail and enough effective draws; do draws from wide tails tell the same moments; do
    optimisation paths from elsewhere find modes that the guide misses. Only then are weighted
    moments believed, and raw draws are good where they agree with them. A guide that holds a site
    at one point is trusted in no case.

    Args:
        batches: Draws of the guide in at least two batches, ten thousand draws in all.
        log: The log of the fit.
        density: The log density on unconstrained space, for tails and modes.
        gaussian: The guide on unconstrained space or a Gaussian with its moments.
        seed: Seed of the probes.

    Returns:
        The report.

    Raises:
        ValueError: If the model's density is finite at none of the draws.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> def draw():
        ...     x = rng.standard_normal(5000)
        ...     return Draws({"x": x}, log_p=-(x**2) / 2, log_q=-(x**2) / 2)
        >>> log = FitLog(np.array([1.0]), "converged", True, seconds=0.1)
        >>> print(judge([draw(), draw()], log).verdict)
        good

    References:
        Yao, Vehtari, Simpson, Gelman (2018), Yes, but did it work?, ICML.
        Huggins, Kasprzak, Campbell, Broderick (2020), Validated variational inference via
        practical posterior error bounds, AISTATS.
    """
    raw, weighted, parts = [], [], []
    labels: list[str] = []
    for draws in batches:
        log_weights = np.where(np.isfinite(draws.log_weights), draws.log_weights, -np.inf)
        parts.append(log_weights)
        labels = labels or label_elements(draws.values)
        raw.append(summarize_batch(draws.values, np.zeros(draws.num_draws)))
        weighted.append(summarize_batch(draws.values, _smooth(log_weights)))
    log_weights = np.concatenate(parts)
    if not np.isfinite(log_weights).any():
        raise ValueError(
            f"report: the model's density is zero or not finite at all {len(log_weights):,} draws "
            f"of the guide ({log.reason}); expected a fitted guide. Fit again from another start: "
            "another seed or rng_key."
        )
    smoothed = smooth_weights(log_weights)
    log_evidence = float(np.logaddexp.reduce(log_weights) - np.log(len(log_weights)))
    raw_moments, corrected = pool_moments(raw), pool_moments(weighted)
    shifts = corrected.shift_from(raw_moments)
    mean_shift, sd_shift = (float(np.max(shift)) for shift in shifts)
    correction_error = float(
        np.nan_to_num(np.max([corrected.mean_error, corrected.sd_error]), nan=np.inf)
    )
    rng = np.random.default_rng(seed)
    fixed_site = _find_fixed_site(density, gaussian, raw_moments, labels)
    tail_shift, heavy_site, missed, searches, jumps = None, "", None, 0, None
    if density is not None and gaussian is not None and not fixed_site:
        shift = compare_tails(probe_tails(density, gaussian, rng), corrected)
        tail_shift, heavy_site = float(shift.max()), labels[int(np.argmax(shift))]
        searches = count_searches(density.dim)
        missed = find_missed_modes(density, gaussian, log_evidence, rng, searches)
        jumps = find_jumps(density, gaussian, np.random.default_rng([seed, 1]))
    confirmed = tail_shift is not None and max(tail_shift, correction_error) < _CONFIRMED
    ess_least = _ESS_LEAST_CONFIRMED if confirmed else _ESS_LEAST
    khat_most = _KHAT_MOST_CONFIRMED if confirmed else _KHAT_MOST
    efficiency = smoothed.ess / len(log_weights)
    weights_good = efficiency >= _ESS_EQUAL or (
        efficiency >= ess_least and smoothed.khat < khat_most
    )
    resampled_ok = (
        weights_good
        and not fixed_site
        and correction_error < MEAN_TOLERANCE
        and (tail_shift is None or tail_shift < MEAN_TOLERANCE)
        and not missed
        # Weights that are rounded this much tell neither what is wrong nor what is right.
        and not (jumps and jumps.precision)
    )
    # The weighted moments may themselves fall short of the tails: the distances add up.
    beyond = tail_shift or 0.0
    ok = mean_shift + beyond < MEAN_TOLERANCE and sd_shift + beyond < SD_TOLERANCE
    verdict = Verdict.DISTRUST
    if resampled_ok:
        verdict = Verdict.GOOD if ok else Verdict.RESAMPLE
    details = Details(
        num_draws=len(log_weights),
        khat_of_batches=_spread_khat(log_weights),
        elbo_error=(
            float(np.std(log_weights) / np.sqrt(len(log_weights)))
            if np.isfinite(log_weights).all()
            else np.inf
        ),
        log_evidence=log_evidence,
        mean_shift=mean_shift,
        sd_shift=sd_shift,
        shifted_site=labels[int(np.argmax(np.maximum(*shifts)))],
        correction_error=correction_error,
        tail_shift=tail_shift,
        heavy_site=heavy_site,
        missed_modes=missed,
        mode_searches=searches,
        log=log,
        jumps=jumps,
    )
    advice = advise_on(
        verdict,
        details,
        gaussian=gaussian,
        fixed_site=fixed_site,
        discrete=gaussian is None and bool(raw_moments.least.any()),
        heavy=beyond >= MEAN_TOLERANCE,
    )
    return Report(
        verdict, smoothed.khat, smoothed.ess, float(np.mean(log_weights)), advice, details
    )


def _smooth(log_weights: np.ndarray) -> np.ndarray:
    """Smoothed weights of one batch that keep its share in the total."""
    if not np.isfinite(log_weights).any():
        return log_weights
    total = float(np.logaddexp.reduce(log_weights))
    smoothed: np.ndarray = smooth_weights(log_weights).log_weights + total
    return smoothed


def _spread_khat(log_weights: np.ndarray) -> tuple[float, float]:
    khats = [
        smooth_weights(part).khat
        for part in np.array_split(log_weights, _KHAT_BATCHES)
        if np.isfinite(part).any()
    ]
    return min(khats), max(khats)


def _find_fixed_site(
    density: Density | None, gaussian: Gaussian | None, raw: Moments, labels: list[str]
) -> str:
    """Name of a site that the guide holds at one point, empty if there is none.

    Such a guide (the hosts' ``AutoDelta``) is no distribution: its weights are equal and its
    moments agree whatever the posterior is.
    """
    if density is not None and gaussian is not None:
        fixed = gaussian.sd == 0
        return next((s.name for s in density.sites if fixed[s.start : s.stop].any()), "")
    # Without a density a constant may be a deterministic site; all of them cannot.
    return labels[0] if raw.still.all() else ""
