"""Training of a model and a guide on minibatches, in one process or many."""
