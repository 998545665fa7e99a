"""The crescent of the pitcher by a third way: the host's NUTS, beside quadrature and `fit`."""

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer import MCMC, NUTS

from models.pitcher.data import LANDED, REFERENCE
from models.pitcher.on_numpyro import model

CHAINS, DRAWS = 40, 500


def test_nuts_agrees_with_the_quadrature():
    """Means of independent chains, whose spread is their error: 4.5 of it, one in 150,000."""
    mcmc = MCMC(
        NUTS(model),
        num_warmup=500,
        num_samples=DRAWS,
        num_chains=CHAINS,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(jax.random.key(0), jnp.asarray(LANDED))
    draws = mcmc.get_samples(group_by_chain=True)
    for name, mean in REFERENCE.mean.items():
        chains = np.asarray(draws[name], float)
        assert chains.shape == (CHAINS, DRAWS)
        for moment, truth in ((chains, mean), ((chains - mean) ** 2, REFERENCE.sd[name] ** 2)):
            means = moment.mean(1)
            error = means.std(ddof=1) / CHAINS**0.5
            assert error < 0.15 * truth
            assert abs(means.mean() - truth) < 4.5 * error
