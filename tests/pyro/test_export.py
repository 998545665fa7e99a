"""Trees from the host's SVI and MCMC, and fits in files."""

import subprocess
import sys

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import MCMC, NUTS, SVI, Trace_ELBO
from pyro.infer.autoguide import (
    AutoGuideList,
    AutoIAFNormal,
    AutoLaplaceApproximation,
    AutoNormal,
    AutoStructured,
)
from scipy import stats

import ppl_ext.pyro as px
from ppl_ext.storage import write_arrays

Y = torch.tensor([28.0, 8.0, -3.0])


def schools(y=None):
    mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = pyro.sample("tau", dist.HalfCauchy(5.0))
    with pyro.plate("school", 3, dim=-2):
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        theta = pyro.deterministic("theta", mu + tau * z)
        pyro.sample("y", dist.Normal(theta, 10.0), obs=None if y is None else y[:, None])


def log_joint(posterior):
    """SciPy's joint density in constrained space."""
    mu, tau, z = (posterior[name].to_numpy() for name in ("mu", "tau", "z"))
    z = z[..., 0]
    theta = mu[..., None] + tau[..., None] * z
    log_p = stats.norm(0, 5).logpdf(mu) + stats.halfcauchy(scale=5).logpdf(tau)
    log_p += stats.norm.logpdf(z).sum(-1)
    return log_p, stats.norm(theta, 10).logpdf(Y.numpy()), theta


def listed(model):
    guide = AutoGuideList(model)
    guide.append(px.AutoFullRank(poutine.block(model, expose=["mu", "tau"])))
    guide.append(AutoNormal(poutine.block(model, hide=["mu", "tau"])))
    return guide


@pytest.mark.parametrize(
    "make", [AutoNormal, px.AutoFullRank, AutoStructured, AutoIAFNormal, listed]
)
def test_from_svi(make):
    svi = SVI(schools, make(schools), pyro.optim.Adam({"lr": 0.01}), Trace_ELBO())
    for _ in range(5):
        svi.step(Y)
    before = torch.random.get_rng_state()
    tree = px.from_svi(svi, Y, num_draws=50, posterior_predictive=True)
    assert torch.equal(torch.random.get_rng_state(), before)
    posterior = tree["posterior"]
    assert posterior["theta"].dims == ("chain", "draw", "school", "theta_dim_1")
    assert set(posterior.data_vars) == {"mu", "tau", "z", "theta"}  # nothing auxiliary
    prior, likelihood, theta = log_joint(posterior)
    np.testing.assert_allclose(posterior["theta"][..., 0], theta, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(tree["log_likelihood"]["y"], likelihood, rtol=1e-4)
    np.testing.assert_allclose(
        tree["sample_stats"]["lp"], prior + likelihood.sum(-1), rtol=1e-4, atol=1e-3
    )
    assert np.isfinite(tree["sample_stats"]["log_q"]).all()
    np.testing.assert_array_equal(tree["observed_data"]["y"], Y)
    assert tree["posterior_predictive"]["y"].shape == (1, 50, 3)


def test_log_q_is_the_guides_density():
    guide = px.AutoMeanField(schools).setup(Y)
    svi = SVI(schools, guide, pyro.optim.Adam({}), Trace_ELBO())
    tree = px.from_svi(svi, Y, num_draws=20)
    loc, scale = guide.gaussian()
    draws = {name: tree["posterior"][name].to_numpy()[0] for name in ("mu", "tau", "z")}
    u = np.column_stack([draws["mu"], np.log(draws["tau"]), draws["z"][..., 0]])
    expected = stats.norm(loc, scale).logpdf(u).sum(-1) - u[:, 1]
    np.testing.assert_allclose(tree["sample_stats"]["log_q"][0], expected, rtol=1e-3, atol=1e-3)


def test_from_svi_refuses_a_partial_guide():
    guide = px.AutoMeanField(poutine.block(schools, expose=["mu"]))
    svi = SVI(schools, guide, pyro.optim.Adam({}), Trace_ELBO())
    with pytest.raises(ValueError, match=r"from_svi: .*\['mu'\].*\['mu', 'tau', 'z'\]"):
        px.from_svi(svi, Y)


def test_defect_19_deterministic_sites_are_no_likelihoods():
    """ArviZ's own converter counts them as observed, and its loo fails."""
    mcmc = MCMC(
        NUTS(schools, max_tree_depth=3), num_samples=6, warmup_steps=4, disable_progbar=True
    )
    mcmc.run(Y)
    tree = px.from_mcmc(mcmc)
    assert list(tree["log_likelihood"].data_vars) == ["y"]
    assert list(tree["observed_data"].data_vars) == ["y"]
    assert tree["posterior"]["theta"].dims == ("chain", "draw", "school", "theta_dim_1")
    prior, likelihood, theta = log_joint(tree["posterior"])
    np.testing.assert_allclose(tree["posterior"]["theta"][..., 0], theta, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        tree["sample_stats"]["lp"], prior + likelihood.sum(-1), rtol=1e-4, atol=1e-3
    )
    assert tree["sample_stats"]["diverging"].dtype == bool


def test_from_mcmc_needs_a_model_that_has_run():
    with pytest.raises(ValueError, match="has not run"):
        px.from_mcmc(MCMC(NUTS(schools), num_samples=2, disable_progbar=True))
    mcmc = MCMC(
        NUTS(potential_fn=lambda z: 0.5 * (z["x"] ** 2).sum()),
        num_samples=2,
        warmup_steps=0,
        initial_params={"x": torch.zeros(1)},
        disable_progbar=True,
    )
    mcmc.run()
    with pytest.raises(ValueError, match="has no model"):
        px.from_mcmc(mcmc)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    guide = px.AutoMeanField(schools)
    fitted = px.fit(
        schools, Y, guide=guide, optimizer=px.Deterministic(num_draws=64, max_draws=64)
    )
    path = tmp_path_factory.mktemp("fit") / "fit.safetensors"
    fitted.save(path)
    return fitted, path


def test_a_loaded_fit_is_the_one_saved(saved):
    fitted, path = saved
    loaded = px.load(path, schools, Y)
    before, after = (each.draws(5, seed=0) for each in (fitted, loaded))
    np.testing.assert_array_equal(after.log_q, before.log_q)
    np.testing.assert_array_equal(after.values["z"], before.values["z"])
    assert str(loaded.log) == str(fitted.log)
    np.testing.assert_array_equal(loaded.solution.loc, fitted.solution.loc)
    assert loaded.linear_response().draws(2).log_p.shape == (2,)


LOAD = """
import sys, torch, numpy as np
import ppl_ext.pyro as px
from tests.pyro.test_export import Y, schools
print(*px.load(sys.argv[1], schools, Y).draws(3, seed=0).log_q)
"""


def test_another_process_loads_it(saved):
    fitted, path = saved
    process = subprocess.run(
        [sys.executable, "-c", LOAD, str(path)], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    np.testing.assert_array_equal(
        [float(word) for word in process.stdout.split()], fitted.draws(3, seed=0).log_q
    )


def test_stochastic_fits_of_minibatch_models_are_saved_too(tmp_path):
    def model(y):
        with pyro.plate("row", 3, subsample_size=2) as rows:
            x = pyro.sample("x", dist.Normal(0.0, 1.0))
            pyro.sample("y", dist.Normal(x, 1.0), obs=y[rows])

    optimizer = px.Stochastic(max_steps=20, trial_steps=5)
    fitted = px.fit(model, Y, optimizer=optimizer, num_starts=1)
    fitted.save(tmp_path / "fit.safetensors")
    loaded = px.load(tmp_path / "fit.safetensors", model, Y)
    np.testing.assert_allclose(loaded.draws(4, seed=0).log_p, fitted.draws(4, seed=0).log_p)


def test_refused_files_and_fits(saved, tmp_path):
    _, path = saved

    def other(y):
        pyro.sample("mu", dist.Normal(0.0, 1.0))

    with pytest.raises(ValueError, match=r"load: .*sites.*'tau'"):
        px.load(path, other, Y)
    write_arrays(tmp_path / "other", {}, {"kind": "fit", "host": "numpyro", "guide": "x"})
    with pytest.raises(ValueError, match=r"ppl_ext\.numpyro\.load"):
        px.load(tmp_path / "other", schools, Y)
    (tmp_path / "cut").write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match="cut off"):
        px.load(tmp_path / "cut", schools, Y)
    optimizer = px.Stochastic(max_steps=10, trial_steps=5)
    host = px.fit(schools, Y, guide=AutoNormal, optimizer=optimizer, num_starts=1)
    with pytest.raises(ValueError, match="AutoNormal"):
        host.save(tmp_path / "host")
    assert not (tmp_path / "host").exists()


def test_a_mode_is_not_taken_for_the_gaussian_around_it():
    def model(y):
        mu = pyro.sample("mu", dist.Normal(0.0, 1.0))
        pyro.sample("y", dist.Normal(mu, 1.0), obs=y)

    adam = pyro.optim.Adam({"lr": 0.05})
    svi = SVI(model, AutoLaplaceApproximation(model), adam, Trace_ELBO())
    for _ in range(300):
        svi.step(torch.tensor(1.0))
    with pytest.raises(ValueError, match=r"svi.guide.laplace_approximation\(\*args\)"):
        px.from_svi(svi, torch.tensor(1.0))
    svi.guide = svi.guide.laplace_approximation(torch.tensor(1.0))
    mu = px.from_svi(svi, torch.tensor(1.0))["posterior"]["mu"]
    assert float(mu.mean()) == pytest.approx(0.5, abs=0.05)
    assert float(mu.std()) == pytest.approx(0.5**0.5, abs=0.03)
