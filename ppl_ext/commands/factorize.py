"""``python -m ppl_ext factorize``: from a file of ratings to factors, predictions and a report."""

from __future__ import annotations

import argparse
import csv
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ppl_ext.commands.factorize_report import Trial, draw_trial, format_report
from ppl_ext.factorization.data.feature_file import read_feature_file
from ppl_ext.factorization.data.ratings import Ratings
from ppl_ext.factorization.data.reading import read_ratings
from ppl_ext.factorization.data.simulation import simulate_ratings
from ppl_ext.factorization.data.splitting import split_by_row, split_by_time
from ppl_ext.factorization.fitting.matrix_factorization import MatrixFactorization
from ppl_ext.factorization.model.noise import Noise
from ppl_ext.factorization.model.priors import ARD, AbstractPrior, FullCovariance, Isotropic
from ppl_ext.factorization.result.assessment import assess_prediction
from ppl_ext.factorization.result.loading import load_factors
from ppl_ext.factorization.result.prediction import Prediction
from ppl_ext.whole_files import replace_outputs

if TYPE_CHECKING:
    import pandas

    from ppl_ext.factorization.result.factors import Factors

__all__ = ["PRIORS", "run_factorize"]

PRIORS: dict[str, type[AbstractPrior]] = {
    "full": FullCovariance,
    "ard": ARD,
    "isotropic": Isotropic,
}
_OUTPUTS = (
    "factors.safetensors",
    "predictions.csv",
    "top_n.csv",
    "report.txt",
    "convergence.png",
    "calibration.png",
    "ratings.png",
)
# Users ranked at once.
_BATCH = 1024


def run_factorize(options: argparse.Namespace) -> int:
    """Run the command.

    Args:
        options: Its options, as `ppl_ext.commands.cli` declares them.

    Returns:
        The exit status: 0, or 1 where the input cannot be used, which is then said.
    """
    folder: Path = options.out
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = _factorize(options, folder)
    except FileNotFoundError as error:
        missing = f"there is no file '{error.filename}'. Check the path."
        return _refuse(missing if error.filename else str(error))
    except OSError as error:
        kept = folder / "checkpoint.safetensors"
        way = f" What was fitted is in {kept}: --start {kept}." if kept.exists() else ""
        return _refuse(f"{error}. Choose another file, or another --out.{way}")
    except (ValueError, TypeError, ModuleNotFoundError, FloatingPointError) as error:
        return _refuse(
            f"{error}\nThe options of this command: python -m ppl_ext factorize --help."
        )
    except MemoryError as error:
        return _refuse(f"there is not enough memory ({error}). Take fewer factors: --factors 8.")
    except KeyboardInterrupt:
        return _refuse("interrupted before the first sweep was complete; nothing was fitted.")
    print(f"\n{len(written)} files are in {folder.resolve()}:")
    print("\n".join(f"  {path.name}" for path in written))
    return 0


def _refuse(why: str) -> int:
    print(f"factorize: {why.removeprefix('factorize: ')}", file=sys.stderr)
    return 1


def _factorize(options: argparse.Namespace, folder: Path) -> list[Path]:
    model = MatrixFactorization(
        options.factors,
        user_prior=PRIORS[options.prior](),
        item_prior=PRIORS[options.prior](),
        noise=Noise(by_user=not options.equal_noise, by_item=not options.equal_noise),
        diagonal=options.diagonal,
        num_starts=options.num_starts,
        max_sweeps=options.max_sweeps,
        seed=options.seed,
        num_threads=options.threads,
    )
    # What cannot be used is refused before the fit, not after it.
    if not 0 < options.level < 1:
        raise ValueError(
            f"factorize: --level {options.level:g}; expected a probability between 0 and 1. Write "
            "--level 0.9."
        )
    start = load_factors(options.start) if options.start else None
    name, ratings, truth = _read(options)
    ratings, features = _read_features(options, ratings)
    top_n = min(10, ratings.num_items) if options.top_n is None else options.top_n
    if not 0 <= top_n <= ratings.num_items:
        raise ValueError(
            f"factorize: --top-n {top_n} of {ratings.num_items:,} items; expected 0, for "
            f"none, to as many as there are. Write --top-n {min(10, ratings.num_items)}."
        )
    train, test, aside = _split(options, ratings)
    print(f"{name}: {ratings!r}")
    held_out = None
    if options.hold_out:
        train, held_out = split_by_row(train, options.hold_out, options.seed + 1)
    # Not an output: what a run that is killed can go on from.
    checkpoint = folder / "checkpoint.safetensors"
    factors = model.fit(train, held_out=held_out, start=start, checkpoint=checkpoint, **features)
    trial = Trial(name, train, test, factors, None if truth is None else truth[aside])
    prediction = None if test is None else trial.predict()
    assessment = None
    if test is not None and prediction is not None:
        assessment = assess_prediction(prediction, test.values)
        assessment = replace(assessment, num_factors=factors.num_factors)
    report = format_report(trial, assessment)
    print(f"\n{report}")
    with replace_outputs(folder, _OUTPUTS) as new:
        factors.save(new / "factors.safetensors")
        if test is not None and prediction is not None:
            _write_predictions(test, prediction, options.level, new / "predictions.csv")
        if top_n:
            _write_top_n(factors, ratings, top_n, new / "top_n.csv")
        (new / "report.txt").write_text(report + "\n", encoding="utf-8")
        if find_spec("matplotlib") is None:
            print('\nmatplotlib is not installed, so no pictures; `pip install "ppl-ext[plots]"`.')
        else:
            draw_trial(trial, assessment, new)
        written = [name for name in _OUTPUTS if (new / name).exists()]
    checkpoint.unlink()
    return [folder / name for name in written]


def _read(options: argparse.Namespace) -> tuple[str, Ratings, np.ndarray | None]:
    if options.ratings is None:
        simulation = simulate_ratings(seed=options.seed)
        return "simulated ratings", simulation.ratings, simulation.truth
    return Path(options.ratings).name, _read_file(options, options.ratings), None


def _read_file(options: argparse.Namespace, path: Path) -> Ratings:
    return read_ratings(
        path,
        user=options.user,
        item=options.item,
        rating=options.rating,
        time=options.time,
        scale=options.scale,
        keep_last=options.keep_last,
    )


def _read_features(
    options: argparse.Namespace, ratings: Ratings
) -> tuple[Ratings, dict[str, pandas.DataFrame]]:
    """Features by argument of the fit; who has features and no ratings joins the others."""
    found = {}
    for name in ("user", "item"):
        path = getattr(options, f"{name}_features")
        if path is None:
            continue
        frame = read_feature_file(path)
        known = getattr(ratings, f"{name}_ids")
        if (frame.index.dtype.kind in "iu") != (known.dtype.kind in "iu"):
            frame.index, known = frame.index.map(str), known.astype(str)
        labels = frame.index.to_numpy()
        if labels.dtype.kind not in "iu":
            labels = labels.astype(str)
        everyone = np.concatenate([known, labels[~np.isin(labels, known)]])
        ratings = replace(ratings, **{f"{name}_ids": everyone})
        found[f"{name}_features"] = frame
    return ratings, found


def _split(
    options: argparse.Namespace, ratings: Ratings
) -> tuple[Ratings, Ratings | None, np.ndarray]:
    if options.test is not None:
        return ratings, _read_test(options, ratings), np.zeros(len(ratings), dtype=bool)
    if not options.test_fraction:
        return ratings, None, np.zeros(len(ratings), dtype=bool)
    place = replace(ratings, values=np.arange(len(ratings)))
    if options.latest:
        _, test = split_by_time(place, options.test_fraction)
    else:
        _, test = split_by_row(place, options.test_fraction, options.seed)
    aside = np.zeros(len(ratings), dtype=bool)
    aside[test.values] = True
    return ratings.select(~aside), ratings.select(aside), aside


def _read_test(options: argparse.Namespace, ratings: Ratings) -> Ratings:
    """A file of ratings to test; its labels are text where those of the fit are."""
    test = _read_file(options, options.test)
    for name in ("user_ids", "item_ids"):
        own, known = getattr(test, name), getattr(ratings, name)
        if known.dtype.kind in "US" and own.dtype.kind in "iu":
            test = replace(test, **{name: own.astype(str)})
    return test


def _write_predictions(test: Ratings, prediction: Prediction, level: float, path: Path) -> None:
    low, high = prediction.interval(level)
    columns = (
        test.user_ids[test.users].tolist(),
        test.item_ids[test.items].tolist(),
        *(
            np.round(column.astype(np.float64), 6).tolist()
            for column in (test.values, prediction.mean, prediction.sd, low, high)
        ),
    )
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("user", "item", "rating", "mean", "sd", "low", "high"))
        writer.writerows(zip(*columns, strict=True))


def _write_top_n(factors: Factors, ratings: Ratings, n: int, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("user", "rank", "item", "mean"))
        for begin in range(0, ratings.num_users, _BATCH):
            users = ratings.user_ids[begin : begin + _BATCH]
            ranking = factors.top_n(users, n, exclude=ratings)
            for user, items, scores in zip(
                users.tolist(), ranking.items.tolist(), ranking.scores.tolist(), strict=True
            ):
                writer.writerows(
                    (user, place, item, round(score, 6))
                    for place, (item, score) in enumerate(zip(items, scores, strict=True), 1)
                    if score > -np.inf  # fewer are left than asked for
                )
