"""Explores a game in the browser: `python -m experiments.explore`."""
