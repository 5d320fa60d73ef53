"""Runs an experiment at every point of a grid of its configuration: `python -m experiments.sweep`."""
