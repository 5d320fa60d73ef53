"""Benchmarks: what the package costs beside others and beside the same by hand. `python -m experiments.benchmarks`."""
