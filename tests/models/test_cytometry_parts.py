"""The parts of the cytometry model that need no host, against scikit-learn and closed forms."""

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf
from sklearn.datasets import make_moons
from sklearn.metrics import f1_score, roc_auc_score

from models.cytometry import spreading
from models.cytometry.data import CytometryData, simulate_cells
from models.cytometry.fitting import find_temperature, split_labels
from models.cytometry.judging import (
    area_under_curve,
    calibration_error,
    match_clusters,
    population_f1,
)
from models.cytometry.prediction import HeldOut, Prediction
from models.cytometry.result import Report
from models.cytometry.settings import Settings
from models.cytometry.spreading import make_graph, spread_labels
from models.cytometry.start import find_discriminant, find_start, split_clusters
from models.cytometry.task import make_task


def test_the_discriminant_is_shrunk_as_by_ledoit_and_wolf():
    generator = np.random.default_rng(0)
    labels = np.arange(30) % 3
    values = generator.normal(size=(30, 5)) + labels[:, None] * np.arange(5)
    means = np.stack([values[labels == k].mean(0) for k in range(3)])
    values, means = values * np.arange(1, 6), means * np.arange(1, 6)
    rest = values - means[labels]
    spread = np.sqrt((rest**2).mean(0))
    covariance, _ = ledoit_wolf(rest / spread, assume_centered=True)
    covariance = spread[:, None] * covariance * spread
    slope, intercept = find_discriminant(values, labels, 3)
    np.testing.assert_allclose(covariance @ slope, means.T, atol=1e-9)
    expected = np.log(1 / 3) - [0.5 * m @ np.linalg.solve(covariance, m) for m in means]
    np.testing.assert_allclose(intercept, expected)
    # Classes of one size are balanced.
    np.testing.assert_allclose(find_discriminant(values, labels, 3, balanced=True)[0], slope)


def test_labels_follow_populations_of_any_shape(monkeypatch):
    """Two half moons, which no line divides, with three labels each and nine cells to one."""
    values, truth = make_moons((1800, 200), noise=0.08, random_state=0)
    values = (values - values.mean(0)) / values.std(0)
    known = np.concatenate([np.flatnonzero(truth == k)[:3] for k in range(2)])
    labels = np.full(2000, -1)
    labels[known] = truth[known]
    slope, intercept = find_discriminant(values[known], truth[known], 2)
    by_line = (values @ slope + intercept).argmax(1)
    probs = spread_labels(make_graph(values, labels, 0), labels, 2)
    np.testing.assert_allclose(probs.sum(1), 1)
    np.testing.assert_array_equal(probs[known], np.eye(2)[truth[known]])
    assert population_f1(truth, probs.argmax(1), 2).min() > 0.97
    assert population_f1(truth, by_line, 2).min() < 0.8
    # Of many cells, some are in the graph.
    monkeypatch.setattr(spreading, "NODES", 1000)
    few = make_graph(values, labels, 0)
    assert len(few.cells) == 1000
    assert (
        population_f1(truth, spread_labels(few, labels, 2).argmax(1)[few.nearest], 2).min() > 0.95
    )


def test_the_start_is_the_moments_of_the_clusters():
    data, truth = simulate_cells(4000)
    start = find_start(data.values - data.values.mean(0), truth, 4, 5)
    np.testing.assert_allclose(start.shares, np.bincount(truth) / 4000, atol=1e-3)
    z = (data.values - data.values.mean(0)) @ start.loadings
    for cluster in range(4):
        np.testing.assert_allclose(start.loc[cluster], z[truth == cluster].mean(0), atol=1e-9)
    covariance = np.linalg.inv(start.factor[0] @ start.factor[0].T)
    np.testing.assert_allclose(covariance, np.cov(z[truth == 0].T), atol=0.02)


def test_clusters_stay_within_their_group():
    data, truth = simulate_cells(1000)
    clusters, owner = split_clusters(data.values, truth, np.array([3, 2, 1, 40]), 0)
    np.testing.assert_array_equal(owner[clusters], truth)
    # Twenty cells are the least for a cluster.
    assert list(np.bincount(owner)) == [3, 2, 1, (truth == 3).sum() // 20]
    assert (np.bincount(clusters) > 0).all()


def test_scores_are_those_of_scikit_learn():
    generator = np.random.default_rng(0)
    truth = generator.integers(3, size=200)
    found = np.where(generator.uniform(size=200) < 0.7, truth, generator.integers(3, size=200))
    expected = f1_score(truth, found, average=None)
    np.testing.assert_allclose(population_f1(truth, found, 3), expected)
    # Clusters that are populations under other numbers, with one that is nobody's.
    clusters = np.array([2, 0, 3])[found]
    clusters[:5] = 1
    matched = f1_score(truth, np.array([1, 3, 0, 2])[clusters], average=None, labels=range(3))
    np.testing.assert_allclose(match_clusters(truth, clusters, 3), matched)
    score = np.round(generator.normal(size=200) + truth, 1)
    assert area_under_curve(score, truth == 2) == pytest.approx(roc_auc_score(truth == 2, score))


def test_calibration_error_by_hand():
    """Half of the cells are said with 0.9 and right four times in five, the others with 0.6."""
    probs = np.array([[0.9, 0.1]] * 10 + [[0.4, 0.6]] * 10)
    truth = np.array([0] * 8 + [1] * 2 + [1] * 5 + [0] * 5)
    assert calibration_error(probs, truth) == pytest.approx(0.5 * 0.1 + 0.5 * 0.1)


def test_the_temperature_is_found():
    """Labels drawn at logits that were then trebled."""
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, (4000, 3))
    truth = (logits + generator.gumbel(size=logits.shape)).argmax(1)
    sure = np.exp(3 * logits)
    sure /= sure.sum(1, keepdims=True)
    assert find_temperature(sure, truth, np.ones(4000)) == pytest.approx(3, rel=0.1)
    # A tenth of the labels of one population, each of which stands for ten cells.
    kept = (truth != 0) | (np.arange(4000) % 10 == 0)
    weights = np.where(truth == 0, 10.0, 1.0)[kept]
    assert find_temperature(sure[kept], truth[kept], weights) == pytest.approx(3, rel=0.15)


def test_folds_leave_every_population_a_label():
    labels = np.array([-1, 0, 0, 1, 1, 1, -1, 2, 2])
    folds = split_labels(labels, 3, 0)
    np.testing.assert_array_equal(np.sort(np.concatenate(folds)), np.flatnonzero(labels >= 0))
    for fold in folds:
        assert set(labels) == set(np.delete(labels, fold))
    # The only label of population 0 is never held out.
    one, other = split_labels(np.array([0, 1, 1]), 2, 0)
    assert {*one, *other} == {1, 2}
    assert split_labels(np.array([0, 1, 2]), 2, 0) == []
    assert split_labels(None, 3, 0) == split_labels(labels, 0, 0) == []


def test_fractions_are_those_of_a_dirichlet_where_cells_are_certain():
    labels = np.repeat([0, 1, 2], [700, 250, 50])
    prediction = Prediction(np.eye(3)[labels], ("a", "b", "c"), labels, labels[:, None], labels)
    draws = prediction.draw_fractions(20_000)
    alpha = np.array([700.5, 250.5, 50.5])
    mean = alpha / alpha.sum()
    variance = mean * (1 - mean) / (alpha.sum() + 1)
    assert (np.abs(draws.mean(0) - mean) < 4 * np.sqrt(variance / 20_000)).all()
    np.testing.assert_allclose(draws.var(0), variance, rtol=0.05)


def test_fractions_know_that_cells_could_be_of_either_population():
    """A hundred coins: their number has variance 25, and the fraction given it nearly as much."""
    probs, nobody = np.full((100, 2), 0.5), np.zeros(100)
    draws = Prediction(probs, ("a", "b"), nobody, nobody, nobody).draw_fractions(20_000)
    given = 0.5 * 0.5 / 101  # of a Dirichlet, less what the spread of the counts takes away
    assert draws[:, 0].var() == pytest.approx(25 / 101**2 + given * (1 - 1 / 100), rel=0.05)


def confuse(counts, **more):
    """Held-out labels, of which `counts` says how many: ``[said, true]``."""
    counts = np.array(counts)
    said, truth = (
        np.repeat(places.ravel(), counts.ravel()) for places in np.indices(counts.shape)
    )
    return HeldOut(np.eye(len(counts))[said], truth, **more)


def test_fractions_of_a_random_sample_are_post_stratified():
    """What is said is right in nine cells of ten and in three of four, which many labels show."""
    counts = np.array([[5400, 500], [600, 1500]])
    held_out = confuse(counts, joint=np.array([[0.7, 0.0], [0.0, 0.3]]), sampled=True)
    draws = held_out.draw_fractions(held_out.joint, np.random.default_rng(0), 4000)[:, 0]
    shares = [5400 / 5900, 600 / 2100]
    assert draws.mean() == pytest.approx(0.7 * shares[0] + 0.3 * shares[1], abs=0.002)
    variance = sum(
        w**2 * p * (1 - p) / n for w, p, n in zip((0.7, 0.3), shares, counts.sum(1), strict=True)
    )
    assert draws.std() == pytest.approx(variance**0.5, rel=0.1)


def test_fractions_do_not_hang_on_how_many_of_each_population_are_labelled():
    """Of population 0 a fifth is taken for 1: of 0.8 that are said to be 0, all are meant."""
    held_out = confuse([[800, 0], [200, 5000]], joint=np.array([[0.8, 0.0], [0.1, 0.1]]))
    draws = held_out.draw_fractions(held_out.joint, np.random.default_rng(0), 4000)[:, 0]
    # One is the largest that there is: all errors go one way.
    assert 0.96 < draws.mean() < 1
    held_out = confuse([[800, 250], [200, 4750]], joint=np.array([[0.5, 0.1], [0.1, 0.3]]))
    draws = held_out.draw_fractions(held_out.joint, np.random.default_rng(0), 4000)[:, 0]
    slope = 0.8 - 0.05
    expected = (0.6 - 0.05) / slope
    assert draws.mean() == pytest.approx(expected, abs=0.005)
    noise = expected**2 * 0.8 * 0.2 / 1000 + (1 - expected) ** 2 * 0.05 * 0.95 / 5000
    assert draws.std() == pytest.approx(noise**0.5 / slope, rel=0.15)


@pytest.mark.parametrize("sampled", [True, False])
def test_intervals_of_fractions_cover(sampled):
    """Cells of known populations, confused by known chances, that the models think too small."""
    generator = np.random.default_rng(0)
    truth = np.array([0.55, 0.3, 0.12, 0.03])
    said = 0.85 * np.eye(4) + 0.15 / 4
    joint = said * truth
    believed = (0.95 * np.eye(4) + 0.05 / 4) * joint.sum(1)[:, None]
    hits = []
    for _ in range(60):
        if sampled:
            counts = generator.multinomial(300, joint.ravel()).reshape(4, 4)
        else:
            counts = np.stack([generator.multinomial(40, column) for column in said.T], 1)
        held_out = confuse(counts, joint=believed, sampled=sampled)
        draws = held_out.draw_fractions(believed, generator, 400)
        low, high = np.quantile(draws, [0.05, 0.95], axis=0)
        hits.append((low <= truth) & (truth <= high))
    assert np.mean(hits) > 0.85
    assert np.mean(hits, 0).min() > 0.75


def test_new_cells_have_fractions_of_their_own():
    held_out = confuse([[500, 0], [0, 500]])
    probs = np.eye(2)[[0] * 900 + [1] * 100]
    nobody = np.zeros(1000)
    draws = Prediction(probs, ("a", "b"), nobody, nobody, nobody, held_out).draw_fractions()
    assert draws[:, 0].mean() == pytest.approx(0.9, abs=0.01)


def test_collapse_is_reported():
    fractions = {"a": (1.0, 0.9, 1.0)}
    shares = np.array([0.9995, 0.0005, 0.0])
    report = Report(-3.0, shares, ("a", "b", "a"), fractions)
    assert not report.ok
    assert (report.used, report.lost) == (1, ("b",))
    assert report.effective == pytest.approx(1, abs=0.01)
    assert "collapsed: b lost" in str(report)
    equal = np.full(3, 1 / 3), ("a", "b", "c"), fractions
    assert Report(-3.0, *equal).ok
    # Every cell could be of any cluster: they are one.
    alike = Report(-3.0, *equal, doubt=np.log(3))
    assert not alike.ok
    assert alike.effective == pytest.approx(1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": np.zeros((4, 3))}, r"shape \(4, 3\), expected \[cell, 2\]"),
        ({"markers": ("a", "a")}, "two columns are called a"),
        ({"values": np.array([[0, np.nan]] * 4)}, "4 of 4 cells have values that are not finite"),
        ({"labels": np.array([0, 1, 2, 0])}, "from 0 to 2, expected .* from -1 to 1"),
        ({"file": np.array([0, 0, -1, 0])}, "file has shape"),
        ({"labels": np.zeros(3, int)}, r"labels has shape \(3,\)"),
    ],
)
def test_data_that_disagree_are_refused(change, message):
    arguments = {"values": np.zeros((4, 2)), "markers": ("a", "b"), "populations": ("p", "q")}
    with pytest.raises(ValueError, match=message):
        CytometryData(**(arguments | change))


def test_tasks_that_cannot_be_fitted_are_refused():
    data, _ = simulate_cells(200)
    with pytest.raises(ValueError, match="dim=6 with 200 cells of 5 markers"):
        make_task(data, Settings(), 0)
    with pytest.raises(ValueError, match="no cell is labelled NK"):
        make_task(data.with_labels(data.labels, (*data.populations, "NK")), Settings(dim=2), 0)
    flat = data.values.copy()
    flat[:, 1] = 3.0
    with pytest.raises(ValueError, match="CD8 is the same in all cells"):
        make_task(CytometryData(flat, data.markers), Settings(dim=2), 0)
