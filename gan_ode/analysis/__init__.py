"""Numbers from fields and orbits: equilibria, spectra, critical step sizes, orders, drifts, verdicts."""

from ._classify import classify as classify
from ._compare import (
    compare as compare,
    Comparison as Comparison,
    Convergence as Convergence,
    convergence as convergence,
)
from ._critical import critical_step_size as critical_step_size
from ._equilibrium import Equilibrium as Equilibrium, find_equilibrium as find_equilibrium
from ._floquet import cycle_type as cycle_type
from ._invariant import Drift as Drift, drift as drift
from ._jacobian import jacobian as jacobian, multipliers as multipliers, spectrum as spectrum
from ._periodic import (
    find_periodic_orbit as find_periodic_orbit,
    period_against_amplitude as period_against_amplitude,
    PeriodCurve as PeriodCurve,
    PeriodicOrbit as PeriodicOrbit,
    SEARCHES as SEARCHES,
)
from ._types_of_equilibria import equilibrium_type as equilibrium_type
from ._verdict import Verdict as Verdict
