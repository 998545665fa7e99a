"""Training of a model and a guide on minibatches, on one device or many."""
