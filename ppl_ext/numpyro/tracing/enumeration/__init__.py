"""Discrete sites that a model marks to be summed out, by the host's own machinery."""
