"""Tests that drive a browser: found only where playwright is installed, as `make test-browser` does."""

import importlib.util

collect_ignore_glob = [] if importlib.util.find_spec("playwright") else ["test_*.py"]
