"""Velocities added to a field."""
