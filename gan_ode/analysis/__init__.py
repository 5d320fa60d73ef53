"""Numbers from fields and orbits: equilibria, spectra, cycles, basins, critical values, drifts, verdicts."""

from . import theory as theory
from .basins import Basin as Basin, basin as basin, Cycles as Cycles, REASONS as REASONS, state_grid as state_grid
from .borders import continue_event as continue_event, CurvePoint as CurvePoint, EventCurve as EventCurve
from .closed_curves import ClosedCurveBranch as ClosedCurveBranch, ClosedCurveEvent as ClosedCurveEvent
from .continuation import (
    continue_equilibrium as continue_equilibrium,
    EquilibriumBranch as EquilibriumBranch,
    Event as Event,
    locate_event as locate_event,
    NormalForm as NormalForm,
    switch_branch as switch_branch,
)
from .cycle_branches import (
    continue_cycle as continue_cycle,
    CycleBranch as CycleBranch,
    CycleEvent as CycleEvent,
    locate_cycle_event as locate_cycle_event,
)
from .cycles import (
    cycle_type as cycle_type,
    find_periodic_orbit as find_periodic_orbit,
    period_against_amplitude as period_against_amplitude,
    PeriodCurve as PeriodCurve,
    PeriodicOrbit as PeriodicOrbit,
    SEARCHES as SEARCHES,
)
from .diagnosis import (
    diagnose as diagnose,
    Diagnosis as Diagnosis,
    DISEASES as DISEASES,
    Extremes as Extremes,
    Finding as Finding,
    Logits as Logits,
    Mode as Mode,
    Noise as Noise,
    Remedy as Remedy,
)
from .equilibria import (
    Equilibria as Equilibria,
    Equilibrium as Equilibrium,
    equilibrium_type as equilibrium_type,
    EquilibriumKind as EquilibriumKind,
    find_equilibria as find_equilibria,
    find_equilibrium as find_equilibrium,
)
from .fates import classify as classify, FATES as FATES, TrappingRegion as TrappingRegion, Verdict as Verdict
from .linearization import (
    inspect as inspect,
    Inspection as Inspection,
    numerical_abscissa as numerical_abscissa,
    rotation_share as rotation_share,
    symmetric_parts as symmetric_parts,
    SymmetricParts as SymmetricParts,
    transient_growth as transient_growth,
    TransientGrowth as TransientGrowth,
)
from .lyapunov import (
    box_extremes as box_extremes,
    BoxExtremes as BoxExtremes,
    check_lyapunov_function as check_lyapunov_function,
    invariant_drift as invariant_drift,
    InvariantDrift as InvariantDrift,
    lie_derivative as lie_derivative,
    lyapunov_exponents as lyapunov_exponents,
    LyapunovCheck as LyapunovCheck,
    LyapunovExponents as LyapunovExponents,
)
from .maps import (
    Bifurcation as Bifurcation,
    bifurcation as bifurcation,
    critical_curve as critical_curve,
    critical_step_size as critical_step_size,
    multipliers as multipliers,
    orbit_diagram as orbit_diagram,
    OrbitDiagram as OrbitDiagram,
    Rotation as Rotation,
    rotation_number as rotation_number,
    spectral_radius as spectral_radius,
    stability_map as stability_map,
    StabilityMap as StabilityMap,
    step_period as step_period,
)
from .optimality import Optimality as Optimality, optimality as optimality
from .spectra import (
    critical_parameter as critical_parameter,
    critical_parameters as critical_parameters,
    CriticalParameter as CriticalParameter,
    eigenvalue_branches as eigenvalue_branches,
    EigenvalueBranches as EigenvalueBranches,
    follow_eigenvalues as follow_eigenvalues,
    jacobian as jacobian,
    leading_eigenvalues as leading_eigenvalues,
    LeadingEigenvalues as LeadingEigenvalues,
    optimal_parameter as optimal_parameter,
    optimal_step_size as optimal_step_size,
    Optimum as Optimum,
    spectrum as spectrum,
    Stiffness as Stiffness,
    stiffness as stiffness,
    stiffness_along as stiffness_along,
)
from .statistics import (
    compare as compare,
    Comparison as Comparison,
    Convergence as Convergence,
    convergence as convergence,
    covariance_after_steps as covariance_after_steps,
    covariance_at as covariance_at,
    covariance_growth as covariance_growth,
    path_angle as path_angle,
    path_measures as path_measures,
    PathMeasures as PathMeasures,
    samples as samples,
    stationary_covariance as stationary_covariance,
    stationary_covariance_of_steps as stationary_covariance_of_steps,
)
from .stopping import Stop as Stop, Stops as Stops, what_stops as what_stops
from .watching import Reading as Reading, Watch as Watch, WatchState as WatchState
