"""Neural posterior estimation, as far as no host is needed: features, frame, training loop."""
