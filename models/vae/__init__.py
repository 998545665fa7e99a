"""A variational auto-encoder of handwritten digits, on an amortized guide."""
