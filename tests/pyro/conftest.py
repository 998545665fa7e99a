"""Every test of the Pyro room starts with an empty parameter store and the same random state."""

import pyro
import pytest


@pytest.fixture(autouse=True)
def _fresh_store():
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    yield
    pyro.clear_param_store()
