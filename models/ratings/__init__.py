"""Ratings with error bars: the factorization in closed form and as a program of the host."""
