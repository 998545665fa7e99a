"""A Pyro model with its arguments, read: its sites, its plates, and its log density."""
