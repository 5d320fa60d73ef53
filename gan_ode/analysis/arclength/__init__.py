"""Branches by their arclength: the compiled half of continuation, which `continuation` and `spectra` stand on."""
