"""A fit on most ratings, and what it makes of the others: in words, and in pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ppl_ext.factorization.data.ratings import Ratings
from ppl_ext.factorization.model.gaussian_prior import GaussianPrior
from ppl_ext.factorization.model.regression import Regression
from ppl_ext.factorization.result.assessment import Assessment
from ppl_ext.factorization.result.biclusters import predict_blocks
from ppl_ext.factorization.result.factors import Factors
from ppl_ext.factorization.result.prediction import Prediction

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Trial", "draw_trial", "format_report"]

_WIDTH = 10
_DPI = 150
# The features that say most, in the report.
_SHOWN = 8
_LEVELS = (0.5, 0.8, 0.9, 0.95)


@dataclass(frozen=True, eq=False)
class Trial:
    """What ``factorize`` did.

    Args:
        name: Where the ratings came from.
        train: The fitted ratings.
        test: The ratings set aside; None where none were.
        factors: The fit.
        truth: ``[rating of test]``, the ratings before noise, where they are known.
    """

    name: str
    train: Ratings
    test: Ratings | None
    factors: Factors
    truth: np.ndarray | None = None

    def predict(self) -> Prediction:
        """Predictions of the ratings that were set aside."""
        if self.test is None:
            raise ValueError("Trial.predict: no ratings were set aside; expected some.")
        return self.factors.predict(
            self.test.user_ids[self.test.users], self.test.item_ids[self.test.items]
        )


def format_report(trial: Trial, assessment: Assessment | None) -> str:
    """Say what was fitted, how it went, how well it predicts, and what to think of it.

    Args:
        trial: The fit.
        assessment: Predictions of the ratings that were set aside; None where none were.

    Returns:
        Lines of text.
    """
    factors, log = trial.factors, trial.factors.log
    rows = [
        ("ratings", f"{trial.name}: {_describe(trial)}"),
        ("model", _describe_model(factors)),
        ("sweeps", f"{factors.sweeps} in {log.seconds:.1f} s; {log.reason}"),
        ("ELBO", f"{factors.elbo[-1]:,.1f} nats, "
                 f"{factors.elbo[-1] / len(trial.train):.4f} for each rating"),
        ("noise", _describe_noise(factors)),
        *(("note", note) for note in log.notes),
    ]  # fmt: skip
    for name, side in (("user", factors.users), ("item", factors.items)):
        if side.regression is not None and factors.posterior.biases:
            rows += _describe_features(name, side.regression, side.prior)
    if assessment is None or trial.test is None:
        rows.append(("verdict", "No ratings were set aside, so nothing is known of predictions."))
        return _format(rows)
    rows += _describe_predictions(trial.train, trial.test, assessment)
    if trial.truth is not None:
        rows += _compare_with_truth(trial.predict(), trial.test, trial.truth)
    return _format([*rows, ("verdict", assessment.advice)])


def _format(rows: list[tuple[str, str]]) -> str:
    return "\n".join(f"{name.ljust(_WIDTH)}{words}".rstrip() for name, words in rows)


def _describe(trial: Trial) -> str:
    train, test = trial.train, trial.test
    aside = "" if test is None else f" to fit and {len(test):,} set aside"
    return (
        f"{len(train):,}{aside}, {train.num_users:,} users, {train.num_items:,} items, "
        f"values {train.values.min():g} to {train.values.max():g}"
    )


def _describe_model(factors: Factors) -> str:
    words = [f"{factors.num_factors} factors"]
    words.append("biases" if factors.posterior.biases else "no biases")
    words.append("diagonal covariances" if factors.posterior.diagonal else "full covariances")
    for name, side in (("users", factors.users), ("items", factors.items)):
        if side.regression is not None:
            words.append(f"{len(side.regression.names):,} features of {name}")
    return ", ".join(words)


def _describe_noise(factors: Factors) -> str:
    precision, parts = factors.noise_precision, []
    for name, side in (("users", factors.users), ("items", factors.items)):
        if side.concentration:
            middle = np.median(side.weights)
            precision *= float(middle)
            low, high = np.quantile((side.weights / middle) ** -0.5, [0.05, 0.95])
            parts.append(f"{low:.2f} to {high:.2f} times that for nine {name} of ten")
    whose = " for the median user and item" if parts else ""
    lines = [f"standard deviation {precision**-0.5:.3f}{whose}", *parts]
    return f"\n{' ' * _WIDTH}".join(lines)


def _describe_features(
    name: str, regression: Regression, prior: GaussianPrior
) -> list[tuple[str, str]]:
    """The features that move the bias most surely, each with its standard deviation."""
    effects = regression.coefficients[:, -1]
    variance = float(np.linalg.inv(prior.precision)[-1, -1])
    sds = np.sqrt(np.diag(regression.covariance) * variance)
    order = np.argsort(-np.abs(effects) / sds)[:_SHOWN]
    what = "an item" if name == "item" else "a user"
    rows = [("features", f"one standard deviation more of each moves the bias of {what} by")]
    width = max(len(regression.names[at]) for at in order)
    rows += [
        ("", f"  {regression.names[at].ljust(width)}  {effects[at]:+.3f} ± {sds[at]:.3f}")
        for at in order
    ]
    return rows


def _describe_predictions(
    train: Ratings, test: Ratings, found: Assessment
) -> list[tuple[str, str]]:
    constant = np.sqrt(np.mean((test.values - np.mean(train.values, dtype=np.float64)) ** 2))
    covered = ", ".join(
        f"{100 * found.coverage[level]:.1f} % for {100 * level:g} %" for level in _LEVELS
    )
    apart = found.newcomers
    strangers = [] if apart is None else [
        ("apart", f"{apart.count:,} by users or of items that are new: RMSE {apart.rmse:.4f}, "
                  f"NLL {apart.nll:.4f}, {100 * apart.coverage[0.9]:.1f} % covered at 90 %"),
    ]  # fmt: skip
    return [
        ("RMSE", f"{found.rmse:.4f} of the ratings set aside; {constant:.4f} by a constant"),
        ("MAE", f"{found.mae:.4f}"),
        ("NLL", f"{found.nll:.4f} nats for each rating"),
        ("coverage", f"intervals cover {covered}"),
        *strangers,
    ]


def _compare_with_truth(
    prediction: Prediction, test: Ratings, truth: np.ndarray
) -> list[tuple[str, str]]:
    off = prediction.mean - truth
    best = np.sqrt(np.mean((test.values - truth) ** 2))
    return [
        ("truth", f"predictions miss the ratings before noise by {np.sqrt(np.mean(off**2)):.4f} "
                  f"(RMSE), and claim {np.sqrt(np.mean(prediction.mean_sd**2)):.4f}"),
        ("", f"whoever knew the truth would have an RMSE of {best:.4f}"),
    ]  # fmt: skip


def draw_trial(trial: Trial, assessment: Assessment | None, folder: Path) -> None:
    """Draw convergence, calibration and predicted ratings in blocks, and write them as PNG.

    Args:
        trial: The fit.
        assessment: Predictions of the ratings that were set aside; None for no calibration.
        folder: Where to write.
    """
    # matplotlib takes longer to import than all else here.
    from ppl_ext.plots import plot_blocks, plot_coverage, plot_elbo

    figures = {"convergence": _open_figure(6.4, 4.0)}
    log = trial.factors.log
    # The fit ends on its plateau, and needs no line of its own for it.
    ax = plot_elbo(replace(log, plateaus=()), figures["convergence"].add_subplot())
    ax.set_xlabel("sweep")
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.lines[-1].set_label(f"end: {log.reason}")
    # Above the axes and at their right end, where the curve never comes.
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize="small")
    for note in ax.texts:
        note.set(x=0.985, horizontalalignment="right")
    if assessment is not None:
        figures["calibration"] = _open_figure(4.6, 4.6)
        plot_coverage(assessment, figures["calibration"].add_subplot())
    figures["ratings"] = _open_figure(6.8, 5.8)
    blocks = predict_blocks(trial.factors, trial.train)
    # Predictions may leave the scale of the ratings, colours need not.
    low, high = np.quantile(blocks.values, [0.005, 0.995])
    span = {
        "vmin": max(low, float(trial.train.values.min())),
        "vmax": min(high, float(trial.train.values.max())),
    }
    plot_blocks(blocks, figures["ratings"].add_subplot(), **span)
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png", dpi=_DPI)


def _open_figure(width: float, height: float) -> Figure:
    # A figure made without pyplot leaves the user's figures and settings alone.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")
