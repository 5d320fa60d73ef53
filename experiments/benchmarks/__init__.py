"""Benchmarks: what the package costs over the same by hand. `python -m experiments.benchmarks.NAME` prints a table."""
