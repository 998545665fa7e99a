"""The worked models of the host under test."""

from collections.abc import Callable
from importlib import import_module
from types import ModuleType

import pytest

from tests.hosts import Host


@pytest.fixture
def worked(host: Host) -> Callable[[str], ModuleType]:
    """Import ``models/<name>/on_<host>.py``."""
    return lambda name: import_module(f"models.{name}.on_{host.name}")
