"""Populations of cells from flow and mass cytometry, with few labels or none."""
