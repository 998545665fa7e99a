"""Evidence lower bounds for the NumPyro ``SVI``."""
