"""Variational inference for Pyro and NumPyro that stops by itself and tells the truth.

Import the room of your host: ``import ppl_ext.pyro as px`` or ``import ppl_ext.numpyro as px``.
"""

__version__ = "0.1.0"
