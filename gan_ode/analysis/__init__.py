"""Numbers from fields and orbits: equilibria, spectra, cycles, basins, critical values, drifts, verdicts."""

from . import samples as samples, theory as theory
from ._attracting_cycles import Cycles as Cycles
from ._basin import Basin as Basin, basin as basin, FATES as FATES, grid as grid
from ._bifurcation import Bifurcation as Bifurcation, bifurcation as bifurcation
from ._branches import (
    eigenvalue_branches as eigenvalue_branches,
    EigenvalueBranches as EigenvalueBranches,
    follow_eigenvalues as follow_eigenvalues,
)
from ._classify import classify as classify
from ._compare import (
    compare as compare,
    Comparison as Comparison,
    Convergence as Convergence,
    convergence as convergence,
)
from ._covariance import (
    covariance_after_steps as covariance_after_steps,
    covariance_at as covariance_at,
    covariance_growth as covariance_growth,
    stationary_covariance as stationary_covariance,
    stationary_covariance_of_steps as stationary_covariance_of_steps,
)
from ._critical import critical_step_size as critical_step_size
from ._critical_parameter import (
    critical_parameter as critical_parameter,
    critical_parameters as critical_parameters,
    CriticalParameter as CriticalParameter,
)
from ._cycle import PeriodCurve as PeriodCurve, PeriodicOrbit as PeriodicOrbit, SEARCHES as SEARCHES
from ._equilibria import (
    Equilibria as Equilibria,
    find_equilibria as find_equilibria,
    FoundEquilibrium as FoundEquilibrium,
)
from ._equilibrium import Equilibrium as Equilibrium, find_equilibrium as find_equilibrium
from ._extremes import Extremes as Extremes, extremes as extremes
from ._floquet import cycle_type as cycle_type
from ._invariant import Drift as Drift, drift as drift
from ._jacobian import jacobian as jacobian, spectrum as spectrum
from ._kinds_of_equilibria import EquilibriumKind as EquilibriumKind
from ._leading import (
    leading_eigenvalues as leading_eigenvalues,
    leading_multipliers as leading_multipliers,
    LeadingEigenvalues as LeadingEigenvalues,
)
from ._lyapunov import lyapunov_exponents as lyapunov_exponents, LyapunovExponents as LyapunovExponents
from ._lyapunov_function import (
    lie_derivative as lie_derivative,
    lyapunov as lyapunov,
    LyapunovCheck as LyapunovCheck,
    step_change as step_change,
)
from ._multipliers import (
    multipliers as multipliers,
    spectral_radius as spectral_radius,
    step_jacobian as step_jacobian,
)
from ._nonnormal import (
    numerical_abscissa as numerical_abscissa,
    Split as Split,
    split as split,
    transient_growth as transient_growth,
    TransientGrowth as TransientGrowth,
)
from ._optimal import (
    optimal_parameter as optimal_parameter,
    optimal_step_size as optimal_step_size,
    Optimum as Optimum,
)
from ._orbit_diagram import orbit_diagram as orbit_diagram, OrbitDiagram as OrbitDiagram
from ._periodic import (
    find_periodic_orbit as find_periodic_orbit,
    period_against_amplitude as period_against_amplitude,
)
from ._preconditions import inspect as inspect, Inspection as Inspection
from ._reasons import REASONS as REASONS
from ._rhythm import step_period as step_period
from ._rotation import Rotation as Rotation, rotation_number as rotation_number
from ._stability_map import (
    critical_curve as critical_curve,
    simulated_stability_map as simulated_stability_map,
    stability_map as stability_map,
    StabilityMap as StabilityMap,
)
from ._stiffness import Stiffness as Stiffness, stiffness as stiffness, stiffness_along as stiffness_along
from ._trap import Trap as Trap
from ._types_of_equilibria import equilibrium_type as equilibrium_type
from ._verdict import Verdict as Verdict
