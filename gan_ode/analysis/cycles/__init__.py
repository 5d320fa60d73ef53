"""Closed orbits of a flow: found, closed at two tolerances, with multipliers and derivatives."""

from ._find import find_periodic_orbit as find_periodic_orbit, period_against_amplitude as period_against_amplitude
from ._floquet import cycle_type as cycle_type
from ._periodic_orbit import PeriodCurve as PeriodCurve, PeriodicOrbit as PeriodicOrbit, SEARCHES as SEARCHES
