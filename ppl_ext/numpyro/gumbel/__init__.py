"""Gumbel noise, and what is done with it: primitives below estimators and distributions."""
