"""Algorithm 1 of generative adversarial networks where its optimum is known: two Gaussians."""
