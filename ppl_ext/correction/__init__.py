"""From a fitted Gaussian to draws of the posterior, by sequential Monte Carlo."""
