"""The cytometry model: its bound by enumeration and closed form, and fits to known populations."""

from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
from scipy.special import logsumexp, softmax
from scipy.stats import multivariate_normal

from models.cytometry.data import UNKNOWN, CytometryData, simulate_cells
from models.cytometry.judging import (
    area_under_curve,
    calibration_error,
    population_f1,
)
from models.cytometry.settings import SD_FLOOR, Settings, make_weights
from models.cytometry.start import Start
from tests.hosts import HOST_NAMES, MAKERS

CLUSTERS, DIM, WIDTH, DRAWS = 3, 2, 4, 4000
SMALL = Settings(dim=3, hidden=16, batch=250, epochs=6, components=1, clusters=4, folds=2)


@pytest.fixture(scope="module", params=HOST_NAMES)
def host(request):
    return MAKERS[request.param]()


@pytest.fixture(scope="module")
def program(host):
    return import_module(f"models.cytometry.on_{host.name}")


@pytest.fixture(scope="module")
def weights():
    """Nothing special about any of them."""
    generator = np.random.default_rng(0)
    factor = np.tril(generator.normal(0, 0.3, (CLUSTERS, DIM, DIM))) + 1.5 * np.eye(DIM)
    start = Start(
        loadings=generator.normal(0, 0.7, (WIDTH, DIM)),
        slope=generator.normal(0, 0.5, (WIDTH, CLUSTERS)),
        intercept=generator.normal(size=CLUSTERS),
        shares=np.array([0.5, 0.3, 0.2]),
        loc=generator.normal(size=(CLUSTERS, DIM)),
        factor=factor,
        z_sd=np.array([0.5, 0.8]),
        x_sd=np.full(WIDTH, 0.9),
    )
    weights = make_weights(start, 8, 0)
    ends = ("class_out", "z_out", "x_out")
    changed = {name: generator.normal(0, 0.1, weights[name].shape) for name in ends}
    return weights | {name: value.astype(np.float32) for name, value in changed.items()}


def draw_bounds(host, program, weights, x, **arguments):
    """One-draw bounds of one cell, many times."""
    weights = {name: host.array(value) for name, value in weights.items()}
    cells = host.array(np.tile(x, (DRAWS, 1)).astype(np.float32))
    return np.asarray(host.random(program.bound, weights, cells, **arguments))


def enumerate_bound(host, program, weights, x):
    """The bound by the host's own traces of model and guide: each cluster in turn, many z."""
    cells = host.array(np.tile(x, (DRAWS, 1)).astype(np.float32))
    if host.name == "pyro":
        import pyro as handlers_of
        import torch

        condition = handlers_of.poutine.condition
        classes = [torch.full((DRAWS,), c) for c in range(CLUSTERS)]
    else:
        from numpyro import handlers

        condition = handlers.substitute
        classes = [np.full(DRAWS, c) for c in range(CLUSTERS)]
    total, variance = 0.0, 0.0
    for c in classes:
        guide = host.trace(condition(program.guide, data={"c": c}), weights, DRAWS, cells)
        drawn = {"c": c, "z": guide["z"]["value"]}
        model = host.trace(condition(program.model, data=drawn), weights, DRAWS, cells)
        log_q = {name: np.asarray(_log_prob(guide[name])) for name in ("c", "z")}
        log_p = sum(np.asarray(_log_prob(model[name])) for name in ("c", "z", "x"))
        terms = np.exp(log_q["c"]) * (log_p - log_q["z"] - log_q["c"])
        total, variance = total + terms.mean(), variance + terms.var() / DRAWS
    return total, variance


def _log_prob(site):
    value = site["fn"].log_prob(site["value"])
    return value.detach() if hasattr(value, "detach") else value


def test_the_exact_sum_is_the_enumeration_of_the_programs(host, program, weights):
    x = np.array([0.5, -1.0, 0.3, 1.2])
    found = draw_bounds(host, program, weights, x)
    expected, variance = enumerate_bound(host, program, weights, x)
    error = np.sqrt(found.var() / DRAWS + variance)
    assert error < 0.1
    assert abs(found.mean() - expected) < 4 * error


def test_cold_relaxed_clusters_come_to_the_exact_sum(host, program, weights):
    x = np.array([0.5, -1.0, 0.3, 1.2])
    exact = draw_bounds(host, program, weights, x)
    relaxed = draw_bounds(host, program, weights, x, temperature=0.005)
    error = np.sqrt((exact.var() + relaxed.var()) / DRAWS)
    assert error < 0.15
    assert abs(relaxed.mean() - exact.mean()) < 4 * error


def test_the_bound_of_the_exact_posterior_is_the_evidence(host, program):
    """One latent dimension, a linear decoder, equal variances: q can be right, and the gap nil."""
    loading, noise = np.array([[1.0], [-0.5], [0.8]]), np.array([0.6, 0.9, 0.7])
    loc, shares, precision = np.array([-2.0, 0.5, 3.0]), np.array([0.2, 0.5, 0.3]), 1.7
    covariance = loading @ loading.T / precision + np.diag(noise**2)
    z_precision = precision + float((loading[:, 0] ** 2 / noise**2).sum())
    means = loading @ loc[None]
    slope = np.linalg.solve(covariance, means)
    start = Start(
        loadings=loading, slope=slope,
        intercept=np.log(shares) - 0.5 * (means * slope).sum(0),
        shares=shares, loc=loc[:, None], factor=np.full((3, 1, 1), precision**0.5),
        z_sd=np.array([z_precision**-0.5]), x_sd=noise - SD_FLOOR,
    )  # fmt: skip
    weights = make_weights(start, 3, 0)
    # Hidden units that are the clusters, and move z by what each of them asks for.
    shift = np.stack([precision * loc / z_precision, np.zeros(3)], 1)
    weights |= {
        "z_skip": loading / noise[:, None] ** 2 / z_precision, "z_in": np.zeros((3, 3)),
        "z_class": np.eye(3), "z_mid": np.eye(3), "z_out": shift,
    }  # fmt: skip
    weights = {name: value.astype(np.float32) for name, value in weights.items()}
    for x in (np.array([1.0, 0.2, -0.7]), np.array([3.0, -2.0, 2.5])):
        logs = [
            np.log(share) + multivariate_normal.logpdf(x, mean, covariance)
            for share, mean in zip(shares, means.T, strict=True)
        ]
        found = draw_bounds(host, program, weights, x)
        error = found.std() / DRAWS**0.5
        assert error < 0.05
        assert abs(found.mean() - logsumexp(logs)) < 4 * error + 1e-4
        q = softmax(np.asarray(program.evaluate(weights, x[None].astype(np.float32)).logits)[0])
        np.testing.assert_allclose(q, softmax(logs), atol=1e-4)


@pytest.fixture(scope="module")
def labelled(program):
    data, truth = simulate_cells(2000, share_labelled=0.05)
    return program.fit_cells(data, replace(SMALL, sampled=True)), truth


def test_a_fit_with_few_labels(labelled):
    fit, truth = labelled
    found, report = fit.predict(), fit.report()
    assert population_f1(truth, found.labels, 4).min() > 0.9
    assert calibration_error(found.probs, truth) < 0.03
    # From where the divergences have come in altogether.
    assert fit.losses[-1] < fit.losses[2]
    assert report.ok
    assert report.used == len(report.shares) == 4
    for place, (mean, low, high) in enumerate(report.fractions.values()):
        assert low < mean < high
        assert low < (truth == place).mean() < high


def test_new_cells_by_marker_name(labelled):
    fit, _ = labelled
    data, truth = simulate_cells(500, seed=1)
    turned = CytometryData(data.values[:, ::-1], data.markers[::-1])
    found = fit.predict(turned)
    assert (found.labels == truth).mean() > 0.95
    np.testing.assert_array_equal(found.probs, fit.predict(data).probs)
    # They have fractions of their own, of which the labels are no sample.
    low, high = np.quantile(found.draw_fractions(), [0.01, 0.99], axis=0)
    shares = np.bincount(truth) / 500
    assert (low < shares).all()
    assert (shares < high).all()
    with pytest.raises(ValueError, match="the cells have no CD27;"):
        fit.predict(CytometryData(data.values[:, :4], data.markers[:4]))


def test_pictures(labelled):
    fit, _ = labelled
    assert len(fit.draw_embedding().lines) == 4
    gates, predicted = fit.draw_gates("CD4", "CD8").axes
    assert (gates.get_title(), predicted.get_title()) == ("Gates", "Predicted")
    shown = sum(len(line.get_xdata()) for line in predicted.lines)
    assert shown == len(fit.data.values)


def test_a_type_that_nobody_has_labelled_is_surprising(program):
    data, truth = simulate_cells(2000, share_labelled=0.1)
    rest, left_out = data.populations[:3], truth == 3
    labels = np.where(left_out, UNKNOWN, data.labels)
    fit = program.fit_cells(data.with_labels(labels, rest), replace(SMALL, folds=0, epochs=2))
    assert area_under_curve(fit.predict().surprise, left_out) > 0.9


def test_without_labels_no_cluster_is_lost(program):
    """Eight clusters for four populations: what is asked is that each holds one of them."""
    data, truth = simulate_cells(2000, share_labelled=0)
    settings = replace(SMALL, epochs=2, clusters=8)
    fit = program.fit_cells(data.with_labels(None, ()), settings)
    assert fit.report().ok
    assert fit.report().used == 8
    counts = np.zeros((8, 4))
    np.add.at(counts, (fit.predict().clusters, truth), 1)
    assert counts.max(1).sum() / len(truth) > 0.9


def test_a_fit_by_relaxed_clusters(program):
    data, truth = simulate_cells(2000, share_labelled=0.05)
    fit = program.fit_cells(data, replace(SMALL, folds=0, temperature=0.5))
    assert population_f1(truth, fit.predict().labels, 4).min() > 0.9
