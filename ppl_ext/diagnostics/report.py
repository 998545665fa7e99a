"""The verdict on a fit."""

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from ppl_ext.density import Density
from ppl_ext.diagnostics.moments import (
    Moments,
    label_elements,
    pool_moments,
    summarize_batch,
)
from ppl_ext.diagnostics.tails_and_modes import (
    Gaussian,
    MissedMode,
    find_missed_modes,
    probe_tails,
)
from ppl_ext.draws.draws import Draws
from ppl_ext.draws.psis import smooth_weights
from ppl_ext.fitting.loop import FitLog

__all__ = ["Report", "judge", "plan_batches"]

_DRAWS, _MOST_ROWS, _FEWEST_ROWS, _BATCH_FLOATS = 20_480, 2560, 64, 2**24

_KHAT_BATCHES = 4
_WIDTH = 88  # columns of a printed report
# Corrected draws: the weights are nearly equal, or enough of them count and their tail is mild.
# Where a second sample with wide tails tells the same moments, the tail may be a little heavier:
# k-hat alone alarms falsely (benchmarks/honesty.py counts both kinds of mistake).
_ESS_EQUAL = 0.8
_ESS_LEAST, _KHAT_MOST = 0.2, 0.7
_ESS_LEAST_CONFIRMED, _KHAT_MOST_CONFIRMED, _CONFIRMED = 0.1, 1.0, 0.06
# Raw draws: as far as this may they lie from the corrected ones.
_MEAN_TOLERANCE, _SD_TOLERANCE = 0.1, 0.15


@dataclass(frozen=True)
class Report:
    """Whether a fit can be trusted, and what to do if it cannot.

    Args:
        ok: The guide's draws are good as they are: every mean within 0.1 posterior standard
            deviations and every standard deviation within 15 %, as far as the checks can see.
        resampled_ok: The importance-resampled draws are good.
        khat: Pareto k-hat of the importance weights of all draws.
        khat_range: Its least and greatest value over batches.
        ess: Effective number of the importance weights.
        num_draws: Number of draws judged.
        elbo: Evidence lower bound in nats.
        elbo_error: Its standard error; infinite where a draw has no density.
        log_evidence: Importance-sampled log evidence in nats.
        mean_shift: Largest shift of a mean from raw to importance-weighted draws, in sds.
        sd_shift: Largest absolute log ratio of standard deviations, raw to weighted.
        shifted_site: The element with the larger shift.
        correction_error: Largest Monte Carlo error of the weighted means and log sds.
        tail_shift: Largest shift of a mean (in sds) or log sd when draws from wide tails are
            added; None where the tails were not looked at.
        heavy_site: The element with that shift.
        missed_modes: Modes that the guide does not cover; None where none was looked for.
        advice: What to do, in a sentence.
        log: The log of the fit.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> def draw():
        ...     x = rng.standard_normal(5000)  # a guide four times too narrow
        ...     return Draws({"x": x}, log_p=-(x**2) / 32, log_q=-(x**2) / 2)
        >>> report = judge([draw(), draw()], FitLog(np.array([1.0]), "ended", True, seconds=0.1))
        >>> report.ok, report.verdict
        (False, 'not to be trusted')
    """

    ok: bool
    resampled_ok: bool
    khat: float
    khat_range: tuple[float, float]
    ess: float
    num_draws: int
    elbo: float
    elbo_error: float
    log_evidence: float
    mean_shift: float
    sd_shift: float
    shifted_site: str
    correction_error: float
    tail_shift: float | None
    heavy_site: str
    missed_modes: tuple[MissedMode, ...] | None
    advice: str
    log: FitLog

    @property
    def verdict(self) -> str:
        """One of ``good``, ``good after importance resampling``, ``not to be trusted``."""
        if self.ok:
            return "good"
        return "good after importance resampling" if self.resampled_ok else "not to be trusted"

    def __str__(self) -> str:
        low, high = self.khat_range
        unseen = "not looked at"
        tails = unseen
        if self.tail_shift is not None:
            tails = f"wide draws move '{self.heavy_site}' by {self.tail_shift:.2f}"
        modes = unseen
        if self.missed_modes is not None:
            modes = "none missed among those found"
        if self.missed_modes:
            first = self.missed_modes[0]
            modes = (
                f"{len(self.missed_modes)} missed; one {first.distance:.0f} sd away holds about "
                f"{first.share:.0%} of the mass"
            )
        compiled = f", {self.log.compile_seconds:.1f} s compiling" * bool(self.log.compile_seconds)
        lines = [
            ("verdict", self.verdict),
            ("k-hat", f"{self.khat:.2f} (batches {low:.2f} to {high:.2f})"),
            ("ESS", f"{self.ess:,.0f} of {self.num_draws:,} draws"),
            ("ELBO", f"{self.elbo:,.3f} +- {self.elbo_error:.3f}"),
            ("log evidence", f"{self.log_evidence:,.3f} by importance sampling"),
            (
                "weights move",
                f"means by {self.mean_shift:.2f} sd, sds by a factor {np.exp(self.sd_shift):.2f} "
                f"('{self.shifted_site}')",
            ),
            ("tails", tails),
            ("modes", modes),
            ("run", f"{self.log.gradients:,} gradients in {self.log.seconds:.2f} s{compiled}"),
            ("ended", self.log.reason),
        ]
        if len(self.log.start_losses) > 1:
            elbos = ", ".join(f"{-loss:,.2f}" for loss in self.log.start_losses)
            lines.insert(-2, ("starts", f"reached ELBOs of {elbos}{self.log.dropped}"))
        lines += [("note", note) for note in self.log.notes]
        lines.append(("advice", self.advice))
        return "\n".join(
            textwrap.fill(text, _WIDTH, initial_indent=f"{name:<14}", subsequent_indent=14 * " ")
            for name, text in lines
        )


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
        >>> judge([draw(), draw()], log).verdict
        'good'

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
    tail_shift, heavy_site, missed = None, "", None
    if density is not None and gaussian is not None and not fixed_site:
        tail_shift, heavy_site = _compare_tails(density, gaussian, corrected, labels, rng)
        missed = find_missed_modes(density, gaussian, log_evidence, rng)
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
        and correction_error < _MEAN_TOLERANCE
        and (tail_shift is None or tail_shift < _MEAN_TOLERANCE)
        and not missed
    )
    # The weighted moments may themselves fall short of the tails: the distances add up.
    beyond = tail_shift or 0.0
    ok = (
        resampled_ok
        and mean_shift + beyond < _MEAN_TOLERANCE
        and sd_shift + beyond < _SD_TOLERANCE
    )
    report = Report(
        ok=ok,
        resampled_ok=resampled_ok,
        khat=smoothed.khat,
        khat_range=_spread_khat(log_weights),
        ess=smoothed.ess,
        num_draws=len(log_weights),
        elbo=float(np.mean(log_weights)),
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
        advice="",
        log=log,
    )
    discrete = gaussian is None and bool(raw_moments.least.any())
    return replace(report, advice=_advise(report, gaussian, fixed_site, discrete))


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


def _compare_tails(
    density: Density,
    gaussian: Gaussian,
    corrected: Moments,
    labels: list[str],
    rng: np.random.Generator,
) -> tuple[float, str]:
    """Largest shift that wide draws bring whichever of their batches is left out."""
    batches = probe_tails(density, gaussian, rng)
    shifts = []
    for row in range(len(batches)):
        # One lucky draw with a huge weight moves everything in its own batch, and only there.
        wide = pool_moments(batches[:row] + batches[row + 1 :])
        mean_shift, sd_shift = wide.shift_from(corrected)
        # A heavier tail shows as a wider sd; a narrower one is noise of few draws in the bulk.
        shifts.append(np.maximum(mean_shift, np.where(wide.sd > corrected.sd, sd_shift, 0.0)))
    shift = np.min(shifts, axis=0)
    worst = int(np.argmax(shift))
    return float(shift[worst]), labels[worst]


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


def _advise(report: Report, gaussian: Gaussian | None, fixed_site: str, discrete: bool) -> str:
    if report.ok:
        return "use the draws as they are."
    if report.resampled_ok:
        return (
            f"the guide misses '{report.shifted_site}' but covers the posterior: use "
            "fit.draws(...).resample(seed)."
        )
    if fixed_site:
        return (
            f"the guide holds '{fixed_site}' at one point and has no spread there: fit "
            "AutoFullRank(model), or AutoMeanField(model)."
        )
    if report.log.interrupted:
        return "the fit was interrupted; run it to its end before judging it."
    if report.missed_modes:
        return (
            "the guide describes one mode and another carries mass: a Gaussian cannot follow; "
            "break the symmetry in the model, or sample with a tempered method."
        )
    if gaussian is not None and gaussian.scale.ndim == 1 and len(gaussian.loc) > 1:
        return (
            "the posterior is correlated or far from Gaussian: fit AutoFullRank(model); for "
            "standard deviations alone fit.linear_response() may do."
        )
    if report.tail_shift is not None and report.tail_shift >= _MEAN_TOLERANCE:
        return (
            f"the posterior of '{report.heavy_site}' has tails beyond the guide: give it a "
            "lighter-tailed prior, reparameterise it, or sample with NUTS."
        )
    if discrete:
        return (
            "the guide of the discrete sites is not the posterior: let their logits depend on the "
            "other sites, train longer, or sum the sites out with the host's enumeration."
        )
    return (
        "the posterior is far from Gaussian: in a hierarchy try the non-centred form "
        "(LocScaleReparam), otherwise sample with NUTS, started from this fit."
    )
