"""Neal's funnel: its density, and what its reference says."""

import numpy as np
from scipy import stats

from models.funnel.data import DIM, REFERENCE, SPREAD


def test_the_density_is_that_of_scipy(host, worked):
    density = host.room.trace_density(worked("funnel").model)
    z = np.random.default_rng(0).normal(size=(5, DIM))
    log_scale, x = z[:, 0], z[:, 1:]
    truth = stats.norm.logpdf(log_scale, 0, SPREAD)
    truth = truth + stats.norm.logpdf(x, 0, np.exp(log_scale / 2)[:, None]).sum(-1)
    np.testing.assert_allclose(density.log_p(z), truth, rtol=1e-5)
    unit = x / np.exp(log_scale / 2)[:, None]
    np.testing.assert_allclose(density.constrain(z)["unit"], unit, rtol=1e-5)


def test_the_reference_is_that_of_exact_draws():
    rng = np.random.default_rng(1)
    log_scale = rng.normal(0, SPREAD, size=20_000)
    x = rng.normal(0, np.exp(log_scale / 2)[:, None], size=(20_000, DIM - 1))
    values = {"log_scale": log_scale, "unit": x / np.exp(log_scale / 2)[:, None]}
    assert REFERENCE.worst_mean_error(values) < 0.03
    assert REFERENCE.worst_log_sd_ratio(values) < 0.03
