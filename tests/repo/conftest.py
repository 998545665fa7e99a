"""Fixtures of the tests that look at the repository itself."""

import socket

import pytest


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection."""

    def refuse(*args: object) -> None:
        raise OSError("this test runs without a network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
