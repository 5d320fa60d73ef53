"""Tests that drive a browser: found only where playwright is installed, as `make test-browser` does."""

import importlib.util
import socket

import pytest

collect_ignore_glob = [] if importlib.util.find_spec("playwright") else ["test_*.py"]


@pytest.fixture
def unused_port() -> int:
    """A port of loopback that nobody listened on a moment ago."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]
