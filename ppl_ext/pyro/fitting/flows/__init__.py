"""The road of a flow: a Gaussian, draws of the posterior, gradients of the bound."""
