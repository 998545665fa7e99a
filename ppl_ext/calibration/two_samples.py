"""Whether a classifier can tell two samples apart."""

from __future__ import annotations

import numpy as np

__all__ = ["c2st"]

_FOLDS = 5


def c2st(a: np.ndarray, b: np.ndarray, *, seed: int = 1) -> float:
    """Classifier two-sample test: how often a neural network tells two samples apart.

    The accuracy on held-out points: 0.5 where the samples follow one distribution, 1 where they
    share nothing. The protocol is that of the benchmark of simulation-based inference, so that
    numbers compare with published ones: standardised by the first sample, two hidden layers of
    ten units a dimension, Adam until it stops, the mean of five shuffled folds. 10,000 draws of
    each are usual there.

    Slow, and no test of one posterior without draws of a reference; see
    ``measure_local_c2st`` for that. A column that is constant in the first sample has no scale
    and is refused.

    Args:
        a: ``[draw, dim]``, draws of the reference.
        b: ``[draw, dim]``, as many draws of what is compared with it.
        seed: Of the weights and of the folds.

    Returns:
        The accuracy, in [0, 1].

    Raises:
        ModuleNotFoundError: scikit-learn is not installed.
        ValueError: Shapes or sizes differ, a value is not finite, or a column is constant.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> a, b = rng.normal(size=(200, 1)), rng.normal(5, 1, size=(200, 1))
        >>> c2st(a, b) > 0.95
        True

    References:
        Lopez-Paz, Oquab (2017), Revisiting classifier two-sample tests, ICLR.
        Lueckmann, Boelts, Greenberg, Goncalves, Macke (2021), Benchmarking simulation-based
        inference, AISTATS.
    """
    first, second = np.asarray(a), np.asarray(b)
    if first.ndim != 2 or first.shape != second.shape or len(first) < _FOLDS:
        raise ValueError(
            f"c2st: samples of shapes {first.shape} and {second.shape}; expected [draw, dim] "
            f"twice, as many draws of each (an accuracy of 0.5 means equal only then) and "
            f"{_FOLDS} or more. Cut the longer one: c2st(a[:n], b[:n])."
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError(
            "c2st: a value is NaN or infinite; expected finite draws. Leave these draws out, and "
            "ask why they are there."
        )
    scale = first.std(0, ddof=1)
    if not scale.all():
        raise ValueError(
            f"c2st: column {int(np.argmin(scale))} is constant in the first sample; expected "
            "draws that differ. Leave the column out: np.delete(a, column, axis=1)."
        )
    try:
        from sklearn.model_selection import KFold, cross_val_score
        from sklearn.neural_network import MLPClassifier
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "c2st: scikit-learn is not installed; expected 1.4 or later. Run: "
            'pip install "ppl-ext[calibration]".'
        ) from error
    center, width = first.mean(0), 10 * first.shape[1]
    data = np.concatenate([(first - center) / scale, (second - center) / scale])
    target = np.repeat([0.0, 1.0], len(first))
    classifier = MLPClassifier(
        activation="relu",
        hidden_layer_sizes=(width, width),
        max_iter=10_000,
        solver="adam",
        random_state=seed,
    )
    folds = KFold(n_splits=_FOLDS, shuffle=True, random_state=seed)
    return float(np.mean(cross_val_score(classifier, data, target, cv=folds, scoring="accuracy")))
