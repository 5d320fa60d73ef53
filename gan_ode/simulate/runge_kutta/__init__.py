"""Explicit Runge-Kutta methods written out, for ensembles: the step, its control, the loop and what is saved."""
