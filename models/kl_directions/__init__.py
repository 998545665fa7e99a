"""Which Gaussian is nearest depends on the direction of the divergence."""
