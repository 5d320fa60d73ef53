"""Diagnoses a run of training from its checkpoint: `python -m experiments.diagnose`."""
