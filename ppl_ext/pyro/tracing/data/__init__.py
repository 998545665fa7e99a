"""Data as people have them, and as a model can score them."""
