"""Discrete sites that are summed out of a Pyro model by the host's machinery, and drawn after."""
