"""What JAX remembers of an array is not what a program in another precision is given."""

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist

from ppl_ext.numpyro import trace_density


def test_an_array_of_the_closure_serves_in_both_precisions():
    y = np.random.default_rng(0).normal(size=500)

    def model():
        mu = numpyro.sample("mu", dist.Normal(0.0, 10.0))
        numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)

    z = np.zeros((1, 1))
    single = trace_density(model).log_p(z)
    with jax.enable_x64(True):
        double = trace_density(model).log_p(z)
    np.testing.assert_allclose(single, double, rtol=1e-5)
