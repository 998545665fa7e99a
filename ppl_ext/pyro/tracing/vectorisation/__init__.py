"""Code of the host that ``vmap`` cannot follow, written so that it can."""
