"""Simulation-based calibration of a fit on a model."""
