"""A variational autoencoder of handwritten digits whose latent variables are categorical."""
