"""Worked models, one folder each, written natively for both hosts."""
