"""The demonstration of each room: its models are the worked ones, its columns are filled."""

from importlib import import_module

import numpy as np
import pytest

from ppl_ext.commands.demo.problem import PROBLEMS
from tests.hosts import Host

WORKED = {"eight_schools": "noncentered", "kidscore": "model"}


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
    np.testing.assert_array_equal(ours.log_p(z), theirs.log_p(z))


def test_both_guides_on_the_regression(demo):
    problem = PROBLEMS[1]
    mean_field, full_rank = demo.fit_mean_field(problem), demo.fit_full_rank(problem)
    # At least ten thousand draws on either side: an error of 0.01 sd each.
    assert problem.reference.worst_mean_error(full_rank.values) < 0.06
    assert full_rank.judgement.report.ok
    assert not mean_field.judgement.report.ok


def test_nuts_on_the_schools(demo, monkeypatch):
    monkeypatch.setattr(demo, "_NUTS_WARMUP", 200)
    monkeypatch.setattr(demo, "_NUTS_DRAWS", 400)
    problem = PROBLEMS[0]
    entry = demo.sample_nuts(problem)
    # 400 correlated draws: an error of about 0.1 sd for each of ten means.
    assert problem.reference.worst_mean_error(entry.values) < 0.4
    assert entry.gradients > 1000
    assert problem.split(entry.values)["theta[H]"].shape == (400,)
