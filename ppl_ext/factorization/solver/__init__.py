"""Coordinate ascent: sweeps over rows in compiled kernels, in memory or over a stream."""
