"""The model of ratings: its settings, its priors, and the state a fit begins with."""
