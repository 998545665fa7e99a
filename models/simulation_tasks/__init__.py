"""Tasks of a benchmark for simulation-based inference, as models with a density."""
