"""When a training on minibatches cuts its step, goes back, and ends."""
