"""What is done with a trained network: strangers, modes, corrections by the density."""
