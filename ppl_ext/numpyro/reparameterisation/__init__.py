"""Location-scale sites in the coordinates that a Gaussian fits best."""

from ppl_ext.numpyro.reparameterisation.choice import reparameterise

__all__ = ["reparameterise"]
