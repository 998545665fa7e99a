"""Whether a posterior is right for the data at hand: a classifier, trained on simulations."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

__all__ = ["LocalC2ST", "measure_local_c2st"]

_ALARM = 0.01
_FREQUENCIES = 100  # of each length
# Lengths of the features beside the median distance between points.
_LENGTHS = (0.5, 1.0, 2.0)
_RIDGE = 1.0  # beside a kernel that is 1 between a point and itself
_MOST_POINTS = 2000  # of which the median distance is taken


@dataclass(frozen=True, eq=False, repr=False)
class LocalC2ST:
    """Whether a classifier tells draws of a posterior from the truth, at one observation.

    Args:
        statistic: Mean squared distance of the classifier from one half, over draws at the
            observation: 0 where it cannot tell, at most 1/4.
        null: ``[trial]``, the same of classifiers that were trained on exchanged pairs.
        probability: ``[draw]``, of the draws at the observation: what the classifier says for
            "drawn from the posterior under test". Above one half where that has too much mass.

    Example:
        >>> found = LocalC2ST(0.04, np.linspace(0, 0.02, 199), np.full(100, 0.7))
        >>> print(found)
        verdict       not this posterior (p 0.005)
        statistic     0.04; exchanged pairs give 0.019 or less in 95 of 100 trials
    """

    statistic: float
    null: np.ndarray
    probability: np.ndarray = field(repr=False)

    def __repr__(self) -> str:
        return f"LocalC2ST({self.verdict}, p {self.p_value:.2g})"

    @property
    def p_value(self) -> float:
        """By the rank of the statistic among those of exchanged pairs."""
        return float(1 + np.sum(self.null >= self.statistic)) / (1 + len(self.null))

    @property
    def ok(self) -> bool:
        """Whether one right posterior in a hundred or more looks as bad."""
        return self.p_value > _ALARM

    @property
    def verdict(self) -> str:
        """One of ``no departure seen`` and ``not this posterior``."""
        return "no departure seen" if self.ok else "not this posterior"

    def __str__(self) -> str:
        usual = np.quantile(self.null, 0.95)
        return (
            f"{'verdict':<13} {self.verdict} (p {self.p_value:.2g})\n"
            f"{'statistic':<13} {self.statistic:.2g}; exchanged pairs give {usual:.2g} or less in "
            "95 of 100 trials"
        )


def measure_local_c2st(
    truths: np.ndarray,
    draws: np.ndarray,
    data: np.ndarray,
    observed: np.ndarray,
    observed_draws: np.ndarray,
    *,
    num_trials: int = 199,
    seed: int = 0,
) -> LocalC2ST:
    r"""Test an amortized posterior at one observation: a local classifier two-sample test.

    .. math:: t = E_{q(\theta \mid x_o)}\left[\left(d(\theta, x_o) - \tfrac12\right)^2\right]

    The classifier :math:`d` learns to tell :math:`(\theta_q, x)` with :math:`\theta_q` from the
    posterior under test, from :math:`(\theta, x)` of the simulator. If the posterior is right, the
    two of a pair can be exchanged: every trial exchanges each pair or not, by coin, and trains
    anew. The p-value is the rank among these trials, exact for every number of simulations. What
    is wrong elsewhere may show as far as the classifier carries over, and where no data were
    simulated nothing shows: ask ``measure_surprise`` first.

    The classifier is least squares on random Fourier features of three lengths: one decomposition
    serves all trials, and a thousand simulations take a second. It needs observations of few
    numbers; give summaries, or what the posterior's own embedding makes of the data. For a
    normalizing flow give truths and draws in the coordinates of its base, where the draws are
    standard normal.

    Args:
        truths: ``[simulation, dim]``, from the prior.
        draws: ``[simulation, dim]``, one draw from the posterior of each simulation's data.
        data: ``[simulation, width]``, simulated from the truths; not those of the training of the
            posterior.
        observed: ``[width]``, the observation.
        observed_draws: ``[draw, dim]``, draws from its posterior.
        num_trials: Number of classifiers of exchanged pairs. The smallest p-value is one over one
            more than it.
        seed: Of features and exchanges.

    Returns:
        The statistic with its p-value.

    Raises:
        ValueError: Shapes that do not fit, values that are not finite, or too few trials.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> theta = rng.normal(size=(1000, 1))
        >>> x = rng.normal(theta)
        >>> draws, at_one = x / 2 + 0.7 * rng.normal(size=(1000, 1)), rng.normal(size=(500, 1))
        >>> measure_local_c2st(theta, draws, x, np.ones(1), 0.5 + 0.7 * at_one).ok
        True
        >>> wide = x / 2 + 1.4 * rng.normal(size=(1000, 1))
        >>> measure_local_c2st(theta, wide, x, np.ones(1), 0.5 + 1.4 * at_one).ok
        False

    References:
        Linhart, Gramfort, Rodrigues (2023), L-C2ST: local diagnostics for posterior
        approximations in simulation-based inference, NeurIPS.
        Rahimi, Recht (2007), Random features for large-scale kernel machines, NeurIPS.
    """
    from scipy import linalg

    true, drawn, x, x_o, at_x_o = (
        np.asarray(each, dtype=np.float64)
        for each in (truths, draws, data, observed, observed_draws)
    )
    _check(true, drawn, x, x_o, at_x_o, num_trials)
    rng = np.random.default_rng(seed)
    # Twice the data: first beside the truths, then beside the draws.
    rows = np.concatenate([np.hstack([true, x]), np.hstack([drawn, x])])
    there = np.hstack([at_x_o, np.broadcast_to(x_o, (len(at_x_o), len(x_o)))])
    features, features_there = _make_features(rows, there, rng)
    swapped = rng.uniform(size=(len(true), num_trials)) < 0.5
    swapped = np.hstack([np.zeros((len(true), 1), dtype=bool), swapped])
    labels = np.concatenate([np.where(swapped, 0.5, -0.5), np.where(swapped, -0.5, 0.5)])
    # The same ridge for all: one that were tuned to each labelling would let what is wrong
    # elsewhere make the classifier rougher here than those of exchanged pairs.
    gram = features.T @ features + _RIDGE * np.eye(features.shape[1])
    weights = linalg.solve(gram, features.T @ labels, assume_a="pos")
    told = np.clip(features_there @ weights, -0.5, 0.5)
    statistics = (told**2).mean(0)
    return LocalC2ST(float(statistics[0]), statistics[1:], 0.5 + told[:, 0])


def _make_features(
    rows: np.ndarray, there: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Random Fourier features of the rows and of other points, centred by the rows.

    Args:
        rows: ``[row, column]``.
        there: ``[point, column]``.
        rng: Generator of the frequencies.

    Returns:
        ``[row, feature]`` and ``[point, feature]``.
    """
    from scipy.spatial.distance import pdist

    center, scale = rows.mean(0), rows.std(0)
    scale[scale == 0] = 1.0
    rows, there = (rows - center) / scale, (there - center) / scale
    some = rng.choice(len(rows), size=min(len(rows), _MOST_POINTS), replace=False)
    lengths = np.repeat(_LENGTHS, _FREQUENCIES) * np.median(pdist(rows[some]))
    frequencies = rng.normal(size=(rows.shape[1], len(lengths))) / lengths
    here, far = (
        np.hstack([np.cos(each @ frequencies), np.sin(each @ frequencies)]) / np.sqrt(len(lengths))
        for each in (rows, there)
    )
    return here - here.mean(0), far - here.mean(0)


def _check(
    true: np.ndarray,
    drawn: np.ndarray,
    x: np.ndarray,
    x_o: np.ndarray,
    at_x_o: np.ndarray,
    num_trials: int,
) -> None:
    """Refuse what does not fit together."""
    shapes = {
        "truths": true.shape,
        "draws": drawn.shape,
        "data": x.shape,
        "observed": x_o.shape,
        "observed_draws": at_x_o.shape,
    }
    flat = [each.ndim for each in (true, drawn, x, x_o, at_x_o)] == [2, 2, 2, 1, 2]
    if not flat or not (
        true.shape == drawn.shape == (len(x), at_x_o.shape[1]) and x.shape[1:] == x_o.shape
    ):
        raise ValueError(
            f"measure_local_c2st: shapes {shapes}; expected [simulation, dim] twice, "
            "[simulation, width], [width] and [draw, dim]. Take one draw for each simulation: "
            "draws[:, 0]."
        )
    if not all(np.isfinite(each).all() for each in (true, drawn, x, x_o, at_x_o)):
        raise ValueError(
            "measure_local_c2st: a value is NaN or infinite; expected finite numbers. Leave "
            "these simulations out."
        )
    if num_trials < 99:
        raise ValueError(
            f"measure_local_c2st: num_trials = {num_trials}; expected 99 or more, for less cannot "
            "tell one in a hundred. Leave it out: the default is 199."
        )
