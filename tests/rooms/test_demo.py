"""The demonstration of each room: its models are the worked ones, its columns are filled."""

from importlib import import_module

import numpy as np
import pytest

from ppl_ext.commands.demo.problem import PROBLEMS
from tests.hosts import Host

WORKED = {"eight_schools": "centered", "kidscore": "model", "pitcher": "model"}


@pytest.fixture
def demo(host: Host):
    return import_module(f"ppl_ext.{host.name}.demo")


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_it_fits_the_worked_models(host, demo, problem):
    """The package travels without the folder of worked models, hence the second copy."""
    worked = import_module(f"models.{problem.name}.on_{host.name}")
    data = [host.array(column) for column in problem.data]
    models = getattr(demo, problem.name), getattr(worked, WORKED[problem.name])
    ours, theirs = (host.room.trace_density(model, *data) for model in models)
    z = np.random.default_rng(0).normal(size=(3, ours.dim))
    np.testing.assert_allclose(ours.log_p(z), theirs.log_p(z), rtol=1e-6)


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_fit_comes_to_the_known_posterior(demo, problem):
    entry = demo.climb(problem)
    assert entry.report.ok
    # 4,000 draws, some of them correlated: an error of 0.02 to 0.03 sd each.
    assert problem.reference.worst_mean_error(entry.values) < 0.12
    assert problem.reference.worst_log_sd_ratio(entry.values) < 0.12


def test_both_guides_on_the_regression(demo):
    problem = next(problem for problem in PROBLEMS if problem.name == "kidscore")
    mean_field, full_rank = demo.fit_mean_field(problem), demo.fit_full_rank(problem)
    # 4,000 draws: an error of 0.016 sd each.
    assert problem.reference.worst_mean_error(full_rank.values) < 0.08
    assert full_rank.report.ok
    assert not mean_field.report.ok


def test_nuts_on_the_schools(demo, monkeypatch):
    monkeypatch.setattr(demo, "_NUTS_WARMUP", 200)
    monkeypatch.setattr(demo, "_NUTS_DRAWS", 400)
    problem = next(problem for problem in PROBLEMS if problem.name == "eight_schools")
    entry = demo.sample_nuts(problem)
    # 400 correlated draws of a funnel: an error of up to 0.2 sd for each of ten means.
    assert problem.reference.worst_mean_error(entry.values) < 0.8
    assert entry.gradients > 1000
    assert problem.split(entry.values)["theta[H]"].shape == (400,)
