"""Strings of a grammar by adversarial training through relaxed categorical draws."""
