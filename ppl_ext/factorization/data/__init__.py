"""Ratings and features: read, named, split, streamed and simulated."""
