"""From the answer of a network to the posterior itself, by the density of the model."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ppl_ext.cavi import fit_mixture
from ppl_ext.cavi.classes import Dirichlet
from ppl_ext.cavi.joint import NormalWishart
from ppl_ext.climbing import Points
from ppl_ext.correction import Corrected, Correction, correct
from ppl_ext.correction.start import Part, Start
from ppl_ext.density import Density
from ppl_ext.draws.draws import Draws
from ppl_ext.draws.psis import smooth_weights
from ppl_ext.draws.resampling import choose_rows

__all__ = ["RESAMPLED", "SAMPLED", "CorrectedPosterior", "Found", "correct_answer", "mixture_of"]

RESAMPLED, SAMPLED = "importance resampling", "sequential Monte Carlo"

_GOOD = 0.7  # k-hat up to which importance weights can be trusted
_FIRST, _MOST_TIMES = 4, 10  # draws for each effective one that is wanted
_MOST_SAMPLED = 1000  # dimensions
_MOST_PARTS = 12
_MOST_FITTED = 2000  # draws to which the mixture is fitted
_LEAST = 0.005  # share of a part that is kept
_WIDTH = 88


@dataclass(frozen=True, eq=False)
class Found:
    """Points of the posterior, and how they were come by.

    Args:
        points: Where they lie on unconstrained space.
        method: How the network was corrected.
        khat: Pareto k-hat of the network's importance weights.
        ess: Effective number of the points.
        evidence: Log evidence of the observation in nats.
        evidence_error: Its standard error.
        ok: Whether the points are those of the posterior, as far as the checks can see.
        advice: What to do, in a sentence.
        corrected: The outcome of sequential Monte Carlo, None where it was not needed.
    """

    points: Points
    method: str
    khat: float
    ess: float
    evidence: float
    evidence_error: float
    ok: bool
    advice: str
    corrected: Corrected | None = None


@dataclass(frozen=True, eq=False)
class CorrectedPosterior:
    """Draws of the posterior itself, to which a network has shown the way.

    Args:
        draws: The draws.
        found: How they were come by.

    Example:
        >>> draws = Draws({"x": np.zeros(4)}, log_p=np.zeros(4), log_q=np.zeros(4))
        >>> points = Points(np.zeros((4, 1)), None)
        >>> found = Found(points, RESAMPLED, 0.1, 3.9, -1.0, 0.01, True, "")
        >>> print(CorrectedPosterior(draws, found))
        verdict       good
        method        importance resampling, k-hat of the network 0.10
        draws         4, ESS 4
        log evidence  -1.000 +- 0.010
    """

    draws: Draws
    found: Found

    @property
    def ok(self) -> bool:
        """Whether the draws are those of the posterior, as far as the checks can see."""
        return self.found.ok

    @property
    def log_evidence(self) -> tuple[float, float]:
        """Log evidence of the observation in nats, and its standard error."""
        return self.found.evidence, self.found.evidence_error

    @property
    def khat(self) -> float:
        """Pareto k-hat of the network's importance weights."""
        return self.found.khat

    @property
    def verdict(self) -> str:
        """One of ``good`` and ``not to be trusted``."""
        return "good" if self.ok else "not to be trusted"

    def __str__(self) -> str:
        found = self.found
        lines = [
            ("verdict", self.verdict),
            ("method", f"{found.method}, k-hat of the network {found.khat:.2f}"),
            ("draws", f"{self.draws.num_draws:,}, ESS {found.ess:,.0f}"),
            ("log evidence", f"{found.evidence:,.3f} +- {found.evidence_error:.3f}"),
        ]
        lines += [("advice", found.advice)] if found.advice else []
        return "\n".join(
            textwrap.fill(text, _WIDTH, initial_indent=f"{name:<14}", subsequent_indent=14 * " ")
            for name, text in lines
        )


def correct_answer(
    sample: Callable[[int], tuple[np.ndarray, np.ndarray]],
    density: Density,
    settings: Correction,
    seed: int,
    *,
    progress_bar: bool = True,
) -> Found:
    r"""Move draws of a network to the posterior by the density of the model.

    Where the importance weights :math:`p(z, x) / q(z \mid x)` can be trusted the draws are
    resampled by them; else sequential Monte Carlo starts from a mixture of Gaussians fitted to
    the draws, and so at every mode that the network knows.

    Args:
        sample: ``number -> (z[draw, dim], log_q[draw])``, draws of the network.
        density: The model's density given the observation.
        settings: What is wanted.
        seed: Seed.
        progress_bar: Whether sequential Monte Carlo draws a bar.

    Returns:
        Points of the posterior.

    Raises:
        ValueError: The model's density is zero at all draws.

    References:
        Dax, Green, Gair, Pürrer, Wildberger, Macke, Buonanno, Schölkopf (2023), Neural importance
        sampling for rapid and reliable gravitational-wave inference, Physical Review Letters 130.
    """
    rng = np.random.default_rng(seed)
    z, log_q = sample(_FIRST * settings.ess)
    log_weights = _weigh(density, z, log_q)
    if not np.isfinite(log_weights).any():
        raise ValueError(
            f"NPE: the model's density is zero or not finite at all {len(z):,} draws of the "
            f"network. {density.explain(z[0])} Expected an observation that the model can make, "
            "and a network that was trained on its simulations."
        )
    smoothed = smooth_weights(log_weights)
    share = 1 / float((smoothed.weights**2).sum()) / len(z)
    if smoothed.khat <= _GOOD and share < 1 / _FIRST:
        count = int(min(settings.ess / share, _MOST_TIMES * len(z))) - len(z)
        more, more_log_q = sample(count)
        z = np.concatenate([z, more])
        log_weights = np.concatenate([log_weights, _weigh(density, more, more_log_q)])
        smoothed = smooth_weights(log_weights)
        share = 1 / float((smoothed.weights**2).sum()) / len(z)
    usable = smoothed.khat <= _GOOD and share * len(z) > 0.9 * settings.ess
    sampled = density.batched and density.dim <= _MOST_SAMPLED
    if usable or not sampled:
        rows = rng.permutation(choose_rows(smoothed.weights, settings.ess, rng))
        largest = float(log_weights.max())
        relative = np.exp(log_weights - largest)
        return Found(
            Points(z[rows], None, resampled=True),
            RESAMPLED,
            smoothed.khat,
            min(settings.ess, share * len(z)),
            largest + float(np.log(relative.mean())),
            float(relative.std() / relative.mean() / np.sqrt(len(z))),
            usable,
            "" if usable else "train on more simulations: the network is too far from the model.",
        )
    start = mixture_of(z, seed)
    corrected = correct(density, start, settings, seed=seed, progress_bar=progress_bar)
    return Found(
        Points(corrected.z, None, corrected.draws.chains, resampled=True),
        SAMPLED,
        smoothed.khat,
        corrected.ess,
        corrected.evidence,
        corrected.evidence_error,
        corrected.ok,
        "" if corrected.ok else corrected.advice,
        corrected,
    )


def _weigh(density: Density, z: np.ndarray, log_q: np.ndarray) -> np.ndarray:
    log_weights = density.log_p(z) - log_q
    return np.where(np.isfinite(log_weights), log_weights, -np.inf)


def mixture_of(z: np.ndarray, seed: int) -> Start:
    """A mixture of Gaussians for draws, from which sequential Monte Carlo may start.

    Args:
        z: Draws of the network, ``[draw, dim]``.
        seed: Seed of the fit.

    Returns:
        The mixture; its parts have heavier tails than those of the fit.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> z = np.concatenate([rng.normal(-4, 1, (500, 1)), rng.normal(4, 1, (500, 1))])
        >>> bool(len(mixture_of(z, seed=0).parts) >= 2)
        True
    """
    rng = np.random.default_rng(seed)
    kept = z[rng.choice(len(z), min(len(z), _MOST_FITTED), replace=False)]
    loc, scale = kept.mean(0), kept.std(0)
    most = int(np.clip(len(kept) // (10 * z.shape[1]), 1, _MOST_PARTS))
    ascent = fit_mixture((kept - loc) / scale, most, concentration=0.1, num_starts=2, seed=seed)
    components, weights = ascent.factors["components"], ascent.factors["weights"]
    assert isinstance(components, NormalWishart)
    assert isinstance(weights, Dirichlet)
    dof = np.asarray(components.dof)[:, None, None]
    covariances = np.linalg.inv(dof * components.scale)
    shares = weights.concentration / weights.concentration.sum()
    chosen = np.flatnonzero(shares >= _LEAST)
    log_shares = np.log(shares[chosen] / shares[chosen].sum())
    return Start(
        tuple(
            Part(
                loc + scale * components.mean[number],
                np.linalg.cholesky(covariances[number] * np.outer(scale, scale)),
                float(log_share),
            )
            for number, log_share in zip(chosen, log_shares, strict=True)
        )
    )
