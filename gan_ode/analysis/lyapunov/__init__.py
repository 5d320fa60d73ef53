"""Functions along a field and along orbits, extremes of functions in a box, and Lyapunov exponents."""

from ._along_orbit import Drift as Drift, drift as drift
from ._box_search import Extremes as Extremes, extremes as extremes
from ._exponents import lyapunov_exponents as lyapunov_exponents, LyapunovExponents as LyapunovExponents
from ._functions import (
    lie_derivative as lie_derivative,
    lyapunov as lyapunov,
    LyapunovCheck as LyapunovCheck,
    step_change as step_change,
)
