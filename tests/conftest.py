"""Fixtures of all tests."""

import pytest

from tests.hosts import HOST_NAMES, MAKERS, Host


@pytest.fixture(scope="session", params=HOST_NAMES)
def host(request: pytest.FixtureRequest) -> Host:
    """The host under test: a test that takes it runs once for each room that was asked for."""
    return MAKERS[request.param]()
