"""The exoplanet on NumPyro: ``python -m models.exoplanet.on_numpyro``."""

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from models.exoplanet.data import PARAMETERS, STAR_RADIUS
from models.exoplanet.limb_on_numpyro import transit_depth


def model(wavelength, error, depth=None, star_radius=STAR_RADIUS):
    wavelength, error = jnp.asarray(wavelength), jnp.asarray(error)
    values = {
        each.name: numpyro.sample(each.name, dist.Uniform(each.low, each.high))
        for each in PARAMETERS
    }
    mean = numpyro.deterministic("mean_depth", transit_depth(wavelength, values, star_radius))
    spread = error * 10 ** values["log_inflation"][..., None]
    numpyro.sample("depth", dist.Normal(mean, spread).to_event(1), obs=depth)
