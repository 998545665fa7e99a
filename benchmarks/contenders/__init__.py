"""What is measured: this package, the host's own guides with Adam, and the host's NUTS.

Both modules have the same three functions; each runs in a fresh process and returns plain figures.
"""
