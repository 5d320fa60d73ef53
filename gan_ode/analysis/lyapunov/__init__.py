"""Functions along a field and along orbits, extremes of functions in a box, and Lyapunov exponents."""

from ._along_orbit import invariant_drift as invariant_drift, InvariantDrift as InvariantDrift
from ._box_search import box_extremes as box_extremes, BoxExtremes as BoxExtremes
from ._exponents import lyapunov_exponents as lyapunov_exponents, LyapunovExponents as LyapunovExponents
from ._functions import (
    check_lyapunov_function as check_lyapunov_function,
    lie_derivative as lie_derivative,
    LyapunovCheck as LyapunovCheck,
)
