"""Sites that are points, circles, scoped or scanned: fitted, or refused with the way out."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers
from numpyro.contrib.control_flow import scan
from numpyro.infer.reparam import LocScaleReparam

from ppl_ext.numpyro import AutoMeanField, fit, trace_density


def test_a_point_is_a_deterministic_value():
    def model():
        mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
        numpyro.sample("c", dist.Delta(2 * mu))

    with pytest.raises(ValueError, match=r"site 'c' is a Delta.*numpyro.deterministic\('c'"):
        trace_density(model)


def test_a_plate_in_a_scope_makes_a_tree():
    def inner(y):
        mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
        with numpyro.plate("row", len(y)):
            x = numpyro.sample("x", dist.Normal(mu, 1.0))
            numpyro.sample("y", dist.Normal(x, 1.0), obs=y)

    model = handlers.scope(inner, prefix="study", divider="/")
    tree = fit(jax.random.key(0), model, np.ones(3), progress_bar=False).to_datatree(
        jax.random.key(1), 100
    )
    assert tree["posterior"]["study.x"].dims == ("chain", "draw", "study.row")
    assert tree["observed_data"]["study.y"].dims == ("study.row",)


ANGLES = np.random.default_rng(0).vonmises(np.pi, 2.0, size=20)


def across(y):
    phi = numpyro.sample("phi", dist.VonMises(0.0, 0.1))
    with numpyro.plate("row", 20):
        numpyro.sample("y", dist.VonMises(phi, 2.0), obs=y)


def turned(y):
    angle = numpyro.sample("angle", dist.VonMises(0.0 - jnp.pi, 0.1))
    phi = numpyro.deterministic("phi", angle + jnp.pi)
    with numpyro.plate("row", 20):
        numpyro.sample("y", dist.VonMises(phi, 2.0), obs=y)


def test_a_circle_is_turned_where_the_fit_says_so():
    cut = fit(jax.random.key(0), across, ANGLES, climb=False, progress_bar=False).report()
    assert cut.verdict != "good"
    assert "site 'phi' is circular" in str(cut).replace("\n              ", " ")
    fitted = fit(jax.random.key(0), turned, ANGLES, progress_bar=False)
    assert fitted.report().verdict == "good"
    grid = np.linspace(0.0, 2 * np.pi, 10_000, endpoint=False)
    log_p = 0.1 * np.cos(grid) + 2.0 * np.cos(ANGLES[:, None] - grid).sum(0)
    weights = np.exp(log_p - log_p.max())
    exact = (weights * np.exp(1j * grid)).sum() / weights.sum()
    phi = fitted.draws(jax.random.key(1), 4000).values["phi"]
    assert np.exp(1j * phi).mean() == pytest.approx(exact, abs=0.01)
    # Left as it is, the climb finds the mass on both sides of the cut.
    climbed = fit(jax.random.key(0), across, ANGLES, progress_bar=False)
    phi = climbed.draws(jax.random.key(1), 4000).values["phi"]
    assert np.exp(1j * phi).mean() == pytest.approx(exact, abs=0.02)


def walk(y):
    def step(x, y_t):
        x = numpyro.sample("x", dist.Normal(x, 1.0))
        numpyro.sample("y", dist.Normal(x, 0.5), obs=y_t)
        return x, None

    scan(step, 0.0, y)


def test_sites_inside_scan_are_fitted():
    y = np.array([1.0, 0.5, 2.0, 1.5])
    times = np.arange(1, 5)
    prior = np.minimum.outer(times, times).astype(float)
    gain = prior @ np.linalg.inv(prior + 0.25 * np.eye(4))
    fitted = fit(jax.random.key(0), walk, y, progress_bar=False)
    x = fitted.draws(jax.random.key(1), 20_000).values["x"]
    np.testing.assert_allclose(x.mean(0), gain @ y, atol=0.03)
    np.testing.assert_allclose(np.cov(x.T), prior - gain @ prior, atol=0.02)
    # Everything after a fit goes on from there, as of other sites.
    assert fitted.report().ok
    diagonal = fit(jax.random.key(0), walk, y, guide=AutoMeanField(walk), progress_bar=False)
    repaired = diagonal.linear_response().draws(jax.random.key(1), 20_000).values["x"]
    np.testing.assert_allclose(np.cov(repaired.T), prior - gain @ prior, atol=0.02)


def test_reparametrising_a_scan_from_outside_is_refused():
    model = handlers.reparam(walk, config={"x": LocScaleReparam(0)})
    with pytest.raises(ValueError, match=r"(?s)site 'x' stands inside scan.*inside of the step"):
        fit(jax.random.key(0), model, np.ones(3), progress_bar=False)
