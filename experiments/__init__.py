"""Experiments: one question a module. `python -m experiments` lists them, `python -m experiments.NAME` answers one."""
