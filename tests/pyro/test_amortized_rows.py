"""``AutoAmortized`` on models that choose the rows of a plate themselves."""

import copy

import pyro
import pyro.distributions as dist
import pytest
import torch

from ppl_ext.pyro import AutoAmortized

X = torch.linspace(-2.0, 2.0, 30)


@pytest.fixture(autouse=True)
def fresh_parameters():
    pyro.set_rng_seed(0)
    pyro.clear_param_store()
    yield
    pyro.clear_param_store()


def observe(rows, size, x):
    with pyro.plate("rows", size, subsample=rows):
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        pyro.sample("x", dist.Normal(z, 1.0), obs=x)


def picked(x, rows):
    """Its rows are chosen by the caller; the plate picks the data."""
    with pyro.plate("rows", len(x), subsample=rows) as picked_rows:
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        pyro.sample("x", dist.Normal(z, 1.0), obs=x[picked_rows])


def test_rows_that_the_model_is_given_are_the_guides_too():
    rows = torch.tensor([7, 2, 29])
    guide = AutoAmortized(picked)
    drawn = pyro.poutine.trace(guide).get_trace(X, rows)
    assert drawn.nodes["rows"]["value"].tolist() == rows.tolist()
    run = pyro.poutine.trace(pyro.poutine.replay(picked, drawn)).get_trace(X, rows)
    assert run.nodes["x"]["value"].tolist() == X[rows].tolist()
    assert run.nodes["z"]["scale"] == drawn.nodes["z"]["scale"] == 10.0
    whole = guide.local_posterior(X, rows).mean
    torch.testing.assert_close(whole[rows], guide.local_posterior(X[rows], torch.arange(3)).mean)


def test_a_minibatch_that_the_model_is_handed_is_all_that_is_read():
    rows = torch.tensor([7, 2, 29])
    guide = AutoAmortized(observe).setup(rows, 30, X[rows])
    assert guide.local_posterior(rows, 30, X[rows]).batch_shape == (3,)
    assert guide.local_posterior(torch.arange(4), 30, X[:4]).batch_shape == (4,)


def test_rows_that_the_model_draws_are_others_in_every_step():
    def draws_rows(x):
        picked(x, torch.randperm(len(x))[:5])

    guide = AutoAmortized(draws_rows).setup(X)
    steps = [pyro.poutine.trace(guide).get_trace(X).nodes["rows"]["value"] for _ in range(2)]
    assert steps[0].tolist() != steps[1].tolist()
    assert guide.local_posterior(X).batch_shape == (30,)


def test_data_that_are_not_those_of_the_plates_rows_are_refused():
    """The host replays the rows of the guide, and the model would observe those of others."""

    def draws_data(x):
        rows = torch.randperm(len(x))[:5]
        observe(rows, len(x), x[rows])

    with pytest.raises(ValueError, match="data in plate 'rows' are other ones in every run"):
        AutoAmortized(draws_data).setup(X)


def test_a_copy_learns_by_itself():
    rows = torch.arange(30)
    guide = AutoAmortized(picked).setup(X, rows)
    guide(X, rows)
    before, twin = guide.local_posterior(X, rows).mean, copy.deepcopy(guide)
    svi = pyro.infer.SVI(picked, twin, pyro.optim.Adam({"lr": 0.1}), pyro.infer.Trace_ELBO())
    svi.step(X, rows)
    torch.testing.assert_close(guide.local_posterior(X, rows).mean, before)
    assert (twin.local_posterior(X, rows).mean - before).abs().max() > 0.01
