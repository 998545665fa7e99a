"""Evidence lower bounds for the Pyro ``SVI``."""
